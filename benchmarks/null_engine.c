/* An engine that costs nothing: answers as vLLM does, from fixed bytes, in one thread.
 *
 *     null_engine PORT
 *
 * `max_tokens` of a request says how many text events a stream has, `seed` how many microseconds apart they are.
 * Every event is an HTTP chunk and a send() of its own, and its text holds the time of sending (CLOCK_MONOTONIC,
 * microseconds) between `~t` and `~`, so that a client can tell how long the event was under way. */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define MAX_CONNECTIONS 8192
#define REQUEST_BYTES 65536
#define UNSENT_BYTES 65536
#define TIMER_MARK MAX_CONNECTIONS
#define LISTEN_MARK (MAX_CONNECTIONS + 1)

struct connection {
    int fd;
    size_t have;                 /* bytes of the request that have come */
    size_t unsent;               /* bytes that the socket did not take yet */
    int streaming, usage;
    long tokens, sent, pace;     /* of the stream: text events in all, sent so far, microseconds apart */
    int64_t next_at;
    char request[REQUEST_BYTES + 1];
    char waiting[UNSENT_BYTES];
};

static struct connection *connections[MAX_CONNECTIONS];   /* by file descriptor */
static int highest, epoll_fd, timer_fd;

static int64_t now_us(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000LL + t.tv_nsec / 1000;
}

static void fail(const char *what) { perror(what); exit(1); }

static void watch(int fd, uint32_t mark, int add, uint32_t events) {
    struct epoll_event event = {.events = events, .data.u32 = mark};
    if (epoll_ctl(epoll_fd, add ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, fd, &event)) fail("epoll_ctl");
}

static void drop(struct connection *c) {
    connections[c->fd] = NULL;
    close(c->fd);
    free(c);
}

/* Send, or keep what the socket does not take. 0 if the connection was dropped. */
static int emit(struct connection *c, const char *bytes, size_t size) {
    if (!c->unsent) {
        ssize_t sent = send(c->fd, bytes, size, MSG_NOSIGNAL);
        if (sent < 0 && errno != EAGAIN) { drop(c); return 0; }
        if (sent > 0) { bytes += sent; size -= sent; }
        if (size) watch(c->fd, c->fd, 0, EPOLLIN | EPOLLOUT);
    }
    if (c->unsent + size > UNSENT_BYTES) { drop(c); return 0; }
    memcpy(c->waiting + c->unsent, bytes, size);
    c->unsent += size;
    return 1;
}

static void flush(struct connection *c) {
    ssize_t sent = send(c->fd, c->waiting, c->unsent, MSG_NOSIGNAL);
    if (sent < 0) { if (errno != EAGAIN) drop(c); return; }
    c->unsent -= sent;
    memmove(c->waiting, c->waiting + sent, c->unsent);
    if (!c->unsent) watch(c->fd, c->fd, 0, EPOLLIN);
}

static int emit_chunk(struct connection *c, const char *event) {
    char chunk[1024];
    return emit(c, chunk, snprintf(chunk, sizeof chunk, "%zx\r\n%s\r\n", strlen(event), event));
}

#define STAMP "\"id\":\"chatcmpl-0193a5b0c7d47cc7a5e9d6b4f3a2c1d0\",\"object\":\"chat.completion%s\",\"created\":1763800000,\"model\":\"null-model\""
#define USAGE "\"usage\":{\"prompt_tokens\":160,\"total_tokens\":%ld,\"completion_tokens\":%ld,\"prompt_tokens_details\":null}"

/* The next event of a stream: text, the last one with the reason for the end. 0 if the connection was dropped. */
static int emit_text(struct connection *c) {
    char event[640];
    const char *role = c->sent == 0 ? "\"role\":\"assistant\"," : "";
    const char *ending = c->sent + 1 == c->tokens ? "\"stop\",\"stop_reason\":null" : "null";
    snprintf(event, sizeof event, "data: {" STAMP ",\"choices\":[{\"index\":0,\"delta\":{%s\"content\":\" ~t%lld~\"},"
             "\"logprobs\":null,\"finish_reason\":%s,\"token_ids\":null}]}\n\n",
             ".chunk", role, (long long)now_us(), ending);
    c->sent++;
    c->next_at += c->pace;
    return emit_chunk(c, event);
}

static void emit_end(struct connection *c) {
    char event[512];
    c->streaming = 0;
    if (c->usage) {
        snprintf(event, sizeof event, "data: {" STAMP ",\"choices\":[]," USAGE "}\n\n",
                 ".chunk", 160 + c->tokens, c->tokens);
        if (!emit_chunk(c, event)) return;
    }
    if (emit_chunk(c, "data: [DONE]\n\n")) emit(c, "0\r\n\r\n", 5);
}

static void emit_due(struct connection *c, int64_t now) {
    while (c->next_at <= now) {
        if (!emit_text(c)) return;
        if (c->sent == c->tokens) { emit_end(c); return; }
    }
}

static int reply(struct connection *c, const char *status, const char *type, const char *body) {
    char answer[4096];
    return emit(c, answer, snprintf(answer, sizeof answer,
        "HTTP/1.1 %s\r\nserver: uvicorn\r\ncontent-type: %s\r\ncontent-length: %zu\r\n\r\n%s",
        status, type, strlen(body), body));
}

static int reply_plain(struct connection *c) {
    char body[2048], text[600];
    memset(text, 'x', sizeof text - 1);
    for (size_t i = 5; i < sizeof text - 1; i += 6) text[i] = ' ';
    text[sizeof text - 1] = 0;
    snprintf(body, sizeof body, "{" STAMP ",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":\"%s\","
             "\"refusal\":null,\"annotations\":null,\"audio\":null,\"function_call\":null,\"reasoning\":null},\"logprobs\":null,"
             "\"finish_reason\":\"stop\",\"stop_reason\":null,\"token_ids\":null}],\"service_tier\":null,"
             "\"system_fingerprint\":\"null-engine\"," USAGE ",\"prompt_logprobs\":null,\"prompt_token_ids\":null,"
             "\"kv_transfer_params\":null}", "", text, 310L, 150L);
    return reply(c, "200 OK", "application/json", body);
}

static long number_in(const char *json, const char *name, long otherwise) {
    const char *at = strstr(json, name);
    return at ? strtol(at + strlen(name) + strspn(at + strlen(name), ": "), NULL, 10) : otherwise;
}

static int is_true(const char *json, const char *name) {
    const char *at = strstr(json, name);
    return at && !strncmp(at + strlen(name) + strspn(at + strlen(name), ": "), "true", 4);
}

static int begin_stream(struct connection *c, const char *json) {
    c->streaming = 1;
    c->usage = is_true(json, "\"include_usage\"");
    c->tokens = number_in(json, "\"max_tokens\"", 16);
    c->pace = number_in(json, "\"seed\"", 0);
    c->sent = 0;
    c->next_at = now_us();
    const char *head = "HTTP/1.1 200 OK\r\nserver: uvicorn\r\ncontent-type: text/event-stream; charset=utf-8\r\n"
                       "transfer-encoding: chunked\r\n\r\n";
    return emit(c, head, strlen(head));
}

/* Answer one request, `head` ended by a zero. 0 if the connection was dropped. */
static int answer(struct connection *c, const char *head, const char *json) {
    if (!strncmp(head, "POST /v1/chat/completions", 25))
        return is_true(json, "\"stream\"") ? begin_stream(c, json) : reply_plain(c);
    if (!strncmp(head, "GET /health", 11)) return reply(c, "200 OK", "text/plain", "");
    if (!strncmp(head, "GET /v1/models", 14))
        return reply(c, "200 OK", "application/json", "{\"object\":\"list\",\"data\":[{\"id\":\"null-model\",\"object\":\"model\","
                     "\"created\":1763800000,\"owned_by\":\"vllm\",\"root\":\"null-model\",\"parent\":null,\"max_model_len\":4096}]}");
    return reply(c, "404 Not Found", "application/json", "{\"detail\":\"Not Found\"}");
}

/* Answer the whole requests that have come. 0 if the connection was dropped. */
static int take_requests(struct connection *c) {
    while (!c->streaming && c->have) {
        char *end = memmem(c->request, c->have, "\r\n\r\n", 4);
        if (!end) return 1;
        end[2] = 0;
        char *length = strcasestr(c->request, "\r\ncontent-length:");
        size_t whole = end + 4 - c->request + (length ? strtoul(length + 17, NULL, 10) : 0);
        if (c->have < whole) { end[2] = '\r'; return 1; }
        char after = c->request[whole];
        c->request[whole] = 0;
        int alive = answer(c, c->request, end + 4);
        if (!alive) return 0;
        c->request[whole] = after;
        c->have -= whole;
        memmove(c->request, c->request + whole, c->have);
    }
    return 1;
}

static void receive(struct connection *c) {
    ssize_t got = recv(c->fd, c->request + c->have, REQUEST_BYTES - c->have, 0);
    if (got < 0 && errno == EAGAIN) return;
    if (got <= 0) { drop(c); return; }   /* the client has gone, or its request is larger than any here */
    c->have += got;
    take_requests(c);
}

static void accept_all(int listener) {
    int fd, one = 1;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
        if (fd >= MAX_CONNECTIONS) { close(fd); continue; }
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        struct connection *c = calloc(1, sizeof *c);
        if (!c) fail("calloc");
        c->fd = fd;
        connections[fd] = c;
        if (fd > highest) highest = fd;
        watch(fd, fd, 1, EPOLLIN);
    }
}

/* Send what is due in every stream, and set the timer to the next that will be. */
static void tick(void) {
    int64_t now = now_us(), next = 0;
    for (int fd = 0; fd <= highest; fd++) {
        struct connection *c = connections[fd];
        if (!c || !c->streaming) continue;
        emit_due(c, now);
        c = connections[fd];
        if (c && !c->streaming) take_requests(c);
        c = connections[fd];
        if (c && c->streaming && (!next || c->next_at < next)) next = c->next_at;
    }
    struct itimerspec when = {.it_value = {next / 1000000, next % 1000000 * 1000}};   /* zero stops the timer */
    timerfd_settime(timer_fd, TFD_TIMER_ABSTIME, &when, NULL);
}

static int listen_on(int port) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), one = 1;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(fd, (struct sockaddr *)&address, sizeof address) || listen(fd, 4096)) fail("listen");
    return fd;
}

int main(int count, char **arguments) {
    if (count != 2) { fprintf(stderr, "usage: null_engine PORT\n"); return 2; }
    int listener = listen_on(atoi(arguments[1]));
    epoll_fd = epoll_create1(0);
    timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK);
    watch(listener, LISTEN_MARK, 1, EPOLLIN);
    watch(timer_fd, TIMER_MARK, 1, EPOLLIN);
    struct epoll_event events[256];
    for (;;) {
        int ready = epoll_wait(epoll_fd, events, 256, -1);
        for (int i = 0; i < ready; i++) {
            uint32_t mark = events[i].data.u32;
            uint64_t expirations;
            if (mark == LISTEN_MARK) accept_all(listener);
            else if (mark == TIMER_MARK) { if (read(timer_fd, &expirations, 8) < 0 && errno != EAGAIN) fail("timer"); }
            else {
                if (connections[mark] && events[i].events & EPOLLOUT) flush(connections[mark]);
                if (connections[mark] && events[i].events & ~EPOLLOUT) receive(connections[mark]);
            }
        }
        tick();
    }
}
