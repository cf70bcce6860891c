//! Who subscribes with one and the same filter: mostly one, sometimes a crowd, never nobody (the
//! filter goes when its last subscriber does).

/// The subscribers of one filter, at least one.
#[derive(Debug)]
pub(super) enum Subscribers<K, V> {
    /// The common case, without an allocation.
    One(K, V),
    /// Two or more.
    Many(Box<Crowd<K, V>>),
}

/// Keys and values apart: whoever looks for one subscriber reads keys alone.
#[derive(Debug)]
pub(super) struct Crowd<K, V> {
    keys: Vec<K>,
    values: Vec<V>,
}

/// What taking a subscriber out has left.
pub(super) enum Removed<V> {
    /// It was not there.
    Absent,
    /// Others remain.
    OthersRemain(V),
    /// It is the last one and still there: its filter has to go with it.
    IsLast,
}

impl<K: Eq, V> Subscribers<K, V> {
    /// Adds a subscriber, or gives one that is there another value and returns the old one.
    pub(super) fn insert(&mut self, key: K, value: V) -> Option<V> {
        if let Some(old) = self.get_mut(&key) {
            return Some(std::mem::replace(old, value));
        }
        if let Subscribers::One(..) = self {
            let crowd = Crowd { keys: Vec::with_capacity(2), values: Vec::with_capacity(2) };
            if let Subscribers::One(key, value) = std::mem::replace(self, Subscribers::Many(Box::new(crowd)))
            {
                self.push(key, value);
            }
        }
        self.push(key, value);
        None
    }

    /// Takes a subscriber out, unless it is the last.
    pub(super) fn remove(&mut self, key: &K) -> Removed<V> {
        match self {
            Subscribers::One(only, _) if only == key => Removed::IsLast,
            Subscribers::One(..) => Removed::Absent,
            Subscribers::Many(crowd) => {
                let Some(at) = crowd.keys.iter().position(|other| other == key) else {
                    return Removed::Absent;
                };
                crowd.keys.swap_remove(at);
                let value = crowd.values.swap_remove(at);
                self.settle();
                Removed::OthersRemain(value)
            }
        }
    }

    pub(super) fn get(&self, key: &K) -> Option<&V> {
        match self {
            Subscribers::One(only, value) => (only == key).then_some(value),
            Subscribers::Many(crowd) => {
                let at = crowd.keys.iter().position(|other| other == key)?;
                crowd.values.get(at)
            }
        }
    }

    pub(super) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        match self {
            Subscribers::One(only, value) => (only == key).then_some(value),
            Subscribers::Many(crowd) => {
                let at = crowd.keys.iter().position(|other| other == key)?;
                crowd.values.get_mut(at)
            }
        }
    }

    fn push(&mut self, key: K, value: V) {
        if let Subscribers::Many(crowd) = self {
            crowd.keys.push(key);
            crowd.values.push(value);
        }
    }

    /// Back to the small form when one is left, and to fewer bytes when most have gone.
    fn settle(&mut self) {
        let Subscribers::Many(crowd) = self else { return };
        if crowd.keys.len() == 1 {
            if let (Some(key), Some(value)) = (crowd.keys.pop(), crowd.values.pop()) {
                *self = Subscribers::One(key, value);
            }
        } else if crowd.keys.len() < crowd.keys.capacity() / 4 {
            crowd.keys.shrink_to(crowd.keys.len() * 2);
            crowd.values.shrink_to(crowd.values.len() * 2);
        }
    }
}

impl<K, V> Subscribers<K, V> {
    /// Every subscriber, in no order.
    #[inline]
    pub(super) fn for_each<'t>(&'t self, visit: &mut impl FnMut(&'t K, &'t V)) {
        match self {
            Subscribers::One(key, value) => visit(key, value),
            Subscribers::Many(crowd) => {
                for (key, value) in crowd.keys.iter().zip(&crowd.values) {
                    visit(key, value);
                }
            }
        }
    }

    /// Whether there is but one.
    #[inline]
    pub(super) fn is_one(&self) -> bool {
        matches!(self, Subscribers::One(..))
    }

    /// The value of the only subscriber.
    pub(super) fn into_only(self) -> Option<V> {
        match self {
            Subscribers::One(_, value) => Some(value),
            Subscribers::Many(_) => None,
        }
    }
}
