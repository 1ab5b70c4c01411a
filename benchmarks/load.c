/* A load of chat requests over kept connections, in one thread; prints what it saw as one line of JSON.
 *
 *     load PORT CONNECTIONS SECONDS [EVENTS MICROSECONDS]
 *
 * With the last two it asks for streams of that many text events, so far apart (see null_engine.c). Every connection
 * asks again as soon as its answer is whole. When all have been at work for SECONDS, nothing more is asked, and what
 * is open is read to its end.
 * LOAD_KEY in the environment is sent as the API key. */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MAX_CONNECTIONS 2048
#define EVENT_BYTES 8192
#define PATIENCE_US 60000000LL   /* for the open answers after the end; slow gateways have a backlog */

enum part { HEAD, SIZE, DATA, DATA_END, TRAILER };

struct connection {
    int fd, status, chunked, done, texts;
    enum part part;
    int64_t begin_at, asked_at, first_at, last_at;
    size_t left;                  /* of the body, or of the chunk */
    size_t have;                  /* bytes in `text`: the head, a line between chunks, or an event of the body */
    size_t size_have;
    char text[EVENT_BYTES + 1];
    char size_text[32];
};

struct series { double *values; size_t count, room; };

static struct connection connections[MAX_CONNECTIONS];
static struct series total, first, transit, tail;
static long answers, errors, texts, texts_in_time, reads;
static int port, streaming, epoll_fd, open_answers;
static long events_asked, pace;
static int64_t steady_at, deadline;   /* between them all connections are at work */
static char request[4096];
static size_t request_size;

static int64_t now_us(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000LL + t.tv_nsec / 1000;
}

static void fail(const char *what) { perror(what); exit(1); }

static void note(struct series *s, double value) {
    if (s->count == s->room) {
        s->room = s->room ? 2 * s->room : 4096;
        if (!(s->values = realloc(s->values, s->room * sizeof(double)))) fail("realloc");
    }
    s->values[s->count++] = value;
}

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void print_series(const char *name, struct series *s) {
    if (!s->count) return;
    qsort(s->values, s->count, sizeof(double), ascending);
    printf(", \"%s_p50_us\": %.1f, \"%s_p99_us\": %.1f", name, s->values[s->count / 2], name, s->values[s->count * 99 / 100]);
}

static void write_request(void) {
    char body[2048], words[512], options[128] = "";
    memset(words, 'y', sizeof words - 1);
    for (size_t i = 4; i < sizeof words - 1; i += 5) words[i] = ' ';
    words[sizeof words - 1] = 0;
    if (streaming) snprintf(options, sizeof options, ",\"stream\":true,\"max_tokens\":%ld,\"seed\":%ld", events_asked, pace);
    int size = snprintf(body, sizeof body, "{\"model\":\"null-model\",\"messages\":[{\"role\":\"system\",\"content\":\"You are a friendly "
                        "chatbot who answers in one paragraph.\"},{\"role\":\"user\",\"content\":\"%s\"}],\"temperature\":0.7,\"top_p\":0.95%s}",
                        words, options);
    const char *key = getenv("LOAD_KEY");
    request_size = snprintf(request, sizeof request, "POST /v1/chat/completions HTTP/1.1\r\nhost: 127.0.0.1:%d\r\n"
                            "user-agent: load\r\naccept: application/json\r\ncontent-type: application/json\r\n"
                            "authorization: Bearer %s\r\ncontent-length: %d\r\n\r\n%s", port, key ? key : "none", size, body);
}

static void connect_to_server(struct connection *c) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int one = 1;
    c->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (c->fd < 0) fail("socket");
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (connect(c->fd, (struct sockaddr *)&address, sizeof address)) fail("connect");
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, c->fd, &event)) fail("epoll_ctl");
}

static void ask(struct connection *c) {
    c->part = HEAD;
    c->have = c->size_have = c->left = 0;
    c->status = c->chunked = c->done = c->texts = 0;
    c->first_at = c->last_at = 0;
    c->asked_at = now_us();
    if (send(c->fd, request, request_size, MSG_NOSIGNAL) != (ssize_t)request_size) fail("send");
    open_answers++;
}

static int is_whole(const struct connection *c) {
    if (c->status != 200) return 0;
    return !streaming || (c->done && c->texts == events_asked);
}

/* The answer has ended, well or not: count it, and ask for the next one if there is time. */
static void end_answer(struct connection *c, int lost) {
    int64_t now = now_us();
    open_answers--;
    answers++;
    if (lost || !is_whole(c)) errors++;
    else {
        note(&total, now - c->asked_at);
        if (streaming) note(&tail, now - c->last_at);
    }
    if (lost) {
        close(c->fd);
        c->fd = 0;
        c->begin_at = now + 10000;
    }
    else if (now < deadline) ask(c);
    else { close(c->fd); c->fd = 0; }
}

/* One server-sent event is whole. */
static void take_event(struct connection *c, int64_t now) {
    c->text[c->have] = 0;
    if (!strncmp(c->text, "data: [DONE]", 12)) { c->done = 1; return; }
    char *sent = strstr(c->text, "~t");
    if (!sent) return;   /* usage, a comment, or a role by itself */
    c->texts++;
    c->last_at = now;
    if (!c->first_at) {
        c->first_at = now;
        note(&first, now - c->asked_at);
    }
    note(&transit, now - strtoll(sent + 2, NULL, 10));
    texts++;
    if (now >= steady_at && now < deadline) texts_in_time++;
}

static void take_body(struct connection *c, const char *bytes, size_t size, int64_t now) {
    if (!streaming || c->status != 200) return;
    for (size_t i = 0; i < size; i++) {
        if (c->have == EVENT_BYTES) c->have = 0;
        c->text[c->have++] = bytes[i];
        if (c->have >= 2 && bytes[i] == '\n' && c->text[c->have - 2] == '\n') {
            take_event(c, now);
            c->have = 0;
        }
    }
}

/* The head is whole: learn how the body comes. 0 if the answer has no body. */
static int take_head(struct connection *c) {
    c->text[c->have] = 0;
    c->status = atoi(c->text + 9);
    char *length = strcasestr(c->text, "\r\ncontent-length:");
    c->chunked = strcasestr(c->text, "\r\ntransfer-encoding: chunked") != NULL;
    c->left = length ? strtoul(length + 17, NULL, 10) : 0;
    c->part = c->chunked ? SIZE : DATA;
    c->have = 0;
    return c->chunked || c->left;
}

/* A line between chunks is whole. 0 if it was the last of the answer. */
static int take_line(struct connection *c) {
    if (c->part == DATA_END) { c->part = SIZE; return 1; }
    if (c->part == TRAILER) return c->size_have > 2;
    c->size_text[c->size_have] = 0;
    c->left = strtoul(c->size_text, NULL, 16);
    c->part = c->left ? DATA : TRAILER;
    return 1;
}

/* Read on in an answer. 1 when it is whole. */
static int take(struct connection *c, const char *bytes, size_t size, int64_t now) {
    while (size) {
        if (c->part == DATA) {
            size_t piece = size < c->left ? size : c->left;
            take_body(c, bytes, piece, now);
            bytes += piece; size -= piece; c->left -= piece;
            if (!c->left) {
                if (!c->chunked) return 1;
                c->part = DATA_END;
            }
            continue;
        }
        char byte = *bytes++;
        size--;
        if (c->part == HEAD) {
            if (c->have == EVENT_BYTES) fail("a head without end");
            c->text[c->have++] = byte;
            if (c->have >= 4 && !memcmp(c->text + c->have - 4, "\r\n\r\n", 4) && !take_head(c)) return 1;
            continue;
        }
        if (c->size_have < sizeof c->size_text - 1) c->size_text[c->size_have++] = byte;
        if (byte == '\n') {
            int more = take_line(c);
            c->size_have = 0;
            if (!more) return 1;
        }
    }
    return 0;
}

static void receive(struct connection *c) {
    static char bytes[262144];
    ssize_t got = recv(c->fd, bytes, sizeof bytes, MSG_DONTWAIT);
    if (got < 0 && errno == EAGAIN) return;
    reads++;
    if (got <= 0) end_answer(c, 1);
    else if (take(c, bytes, got, now_us())) end_answer(c, 0);
}

static void begin_due(int count, int64_t now) {
    for (int i = 0; i < count; i++) {
        struct connection *c = &connections[i];
        if (c->fd || c->begin_at > now || now >= deadline) continue;
        connect_to_server(c);
        ask(c);
    }
}

int main(int count, char **arguments) {
    if (count != 4 && count != 6) { fprintf(stderr, "usage: load PORT CONNECTIONS SECONDS [EVENTS MICROSECONDS]\n"); return 2; }
    port = atoi(arguments[1]);
    int wanted = atoi(arguments[2]);
    double seconds = atof(arguments[3]);
    streaming = count == 6;
    if (streaming) { events_asked = atol(arguments[4]); pace = atol(arguments[5]); }
    if (wanted < 1 || wanted > MAX_CONNECTIONS) { fprintf(stderr, "1 to %d connections\n", MAX_CONNECTIONS); return 2; }
    write_request();
    epoll_fd = epoll_create1(0);
    int64_t began = now_us(), now = began;
    deadline = began + (int64_t)(seconds * 1e6);
    int64_t spread = streaming ? events_asked * pace : 0;   /* streams do not all begin, and so end, at once */
    if (spread > 1000000) spread = 1000000;
    deadline += spread;
    steady_at = began + spread;
    for (int i = 0; i < wanted; i++) connections[i].begin_at = began + i * spread / wanted;
    struct epoll_event ready[256];
    while ((now = now_us()) < deadline || (open_answers && now < deadline + PATIENCE_US)) {
        begin_due(wanted, now);
        int number = epoll_wait(epoll_fd, ready, 256, 1);
        for (int i = 0; i < number; i++) receive(ready[i].data.ptr);
    }
    printf("{\"seconds\": %.3f, \"answers\": %ld, \"errors\": %ld, \"unfinished\": %d", seconds, answers, errors, open_answers);
    if (streaming) printf(", \"events\": %ld, \"events_per_second\": %.1f, \"reads_per_event\": %.3f", texts,
                          texts_in_time / seconds, texts ? (double)reads / texts : 0.0);
    print_series("total", &total);
    print_series("first", &first);
    print_series("transit", &transit);
    print_series("tail", &tail);
    printf("}\n");
    return 0;
}
