"""What all is measured on, and who else uses it meanwhile."""
import os
import pathlib
import re
import resource
import time


def machine():
    with open("/proc/cpuinfo") as cpuinfo:
        model = re.search(r"^model name\s*: (.*)$", cpuinfo.read(), re.MULTILINE)
    return f"{os.cpu_count()} cores of {model[1] if model else os.uname().machine}, Linux {os.uname().release}"


class Others:
    """What programs that are neither broker nor generator take of a processor while these run, in percent."""

    def __init__(self):
        self.begin = self.now()

    @staticmethod
    def now():
        """All that is not idle (nor waiting for a disk, nor a guest's, which is counted already); and our own, what has ended and been waited for."""
        user, nice, system, _, _, irq, soft_irq, steal, *_ = map(int, pathlib.Path("/proc/stat").read_text().partition("\n")[0].split()[1:])
        both = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
        busy = (user + nice + system + irq + soft_irq + steal) / os.sysconf("SC_CLK_TCK")
        return time.monotonic(), busy - sum(used.ru_utime + used.ru_stime for used in both)

    def percent(self):
        (begin, before), (end, after) = self.begin, self.now()
        return max(0.0, (after - before) / (end - begin) * 100)
