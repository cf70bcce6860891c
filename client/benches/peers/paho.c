/* The roles of main.rs with paho's C client, by its asynchronous calls (MQTTAsync):
 *     paho pub|sub PORT QOS COUNT BYTES
 * Its threads are its own; this one hands over messages, or waits. */

#include <semaphore.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <MQTTAsync.h>

enum { AHEAD = 1000, WINDOW = 100 };

static sem_t connected, subscribed, room, all_came;
static atomic_int came;
static int count, bytes;

static void fail(const char *what) {
    fprintf(stderr, "%s\n", what);
    exit(1);
}

static void on_connected(void *context, MQTTAsync_successData *data) {
    (void)context, (void)data;
    sem_post(&connected);
}

static void on_subscribed(void *context, MQTTAsync_successData *data) {
    (void)context, (void)data;
    sem_post(&subscribed);
}

static void on_published(void *context, MQTTAsync_successData *data) {
    (void)context, (void)data;
    sem_post(&room);
}

static void on_failure(void *context, MQTTAsync_failureData *data) {
    (void)data;
    fail(context);
}

static void on_lost(void *context, char *cause) {
    (void)context, (void)cause;
    fail("the connection is lost");
}

static int on_message(void *context, char *topic, int topic_len, MQTTAsync_message *message) {
    (void)context, (void)topic_len;
    if (message->payloadlen != bytes) fail("another message");
    MQTTAsync_freeMessage(&message);
    MQTTAsync_free(topic);
    if (atomic_fetch_add(&came, 1) + 1 == count) sem_post(&all_came);
    return 1;
}

int main(int argc, char **argv) {
    if (argc != 6) fail("expected pub|sub PORT QOS COUNT BYTES");
    int publishes = strcmp(argv[1], "pub") == 0, qos = atoi(argv[3]);
    count = atoi(argv[4]), bytes = atoi(argv[5]);
    char uri[64];
    snprintf(uri, sizeof uri, "tcp://127.0.0.1:%s", argv[2]);
    sem_init(&connected, 0, 0), sem_init(&subscribed, 0, 0), sem_init(&room, 0, AHEAD), sem_init(&all_came, 0, 0);

    MQTTAsync client;
    if (MQTTAsync_create(&client, uri, publishes ? "peers-paho-pub" : "peers-paho-sub", MQTTCLIENT_PERSISTENCE_NONE, NULL))
        fail("no client");
    MQTTAsync_setCallbacks(client, NULL, on_lost, on_message, NULL);
    MQTTAsync_connectOptions options = MQTTAsync_connectOptions_initializer;
    options.MQTTVersion = MQTTVERSION_3_1_1;
    options.cleansession = 1;
    options.maxInflight = WINDOW;
    options.onSuccess = on_connected;
    options.onFailure = on_failure;
    options.context = "no connection";
    if (MQTTAsync_connect(client, &options)) fail("no connection");
    sem_wait(&connected);

    MQTTAsync_responseOptions response = MQTTAsync_responseOptions_initializer;
    response.onFailure = on_failure;
    if (publishes) {
        char *payload = malloc(bytes);
        memset(payload, 'x', bytes);
        response.onSuccess = on_published;
        response.context = "not published";
        MQTTAsync_message message = MQTTAsync_message_initializer;
        message.payload = payload, message.payloadlen = bytes, message.qos = qos;
        for (int n = 0; n < count; n++) {
            sem_wait(&room);
            if (MQTTAsync_sendMessage(client, "peers/0", &message, &response)) fail("not accepted");
        }
        for (int n = 0; n < AHEAD; n++) sem_wait(&room);
    } else {
        response.onSuccess = on_subscribed;
        response.context = "not subscribed";
        if (MQTTAsync_subscribe(client, "peers/#", qos, &response)) fail("not subscribed");
        sem_wait(&subscribed);
        puts("ready");
        fflush(stdout);
        sem_wait(&all_came);
    }
    /* Its end is not measured: the process ends with all of it. */
    return 0;
}
