/*
 * Asks for one large file again and again, and has the kernel throw its content away (MSG_TRUNC,
 * tcp(7)): wrk copies it in pieces of 8 KiB, and so is the limit from 100 KB on, whoever serves.
 *
 *     taker PORT CONNECTIONS SECONDS REQUEST
 *
 * One thread, one request at a time on each connection. A head has to come in one piece, to say
 * 200, and the same Content-Length each time. Prints answers, seconds, bytes and p99 in seconds;
 * ends with 1 and a word about whatever went wrong.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>

enum { HEAD = 2048, READY = 64, SLOTS = 1000000 };

struct connection {
    int socket;
    long left; /* bytes of content still to come; -1: a head is */
    double asked;
};

static const char *request;
static long length, answers, bytes;
static long took[SLOTS]; /* answers by hundredths of a millisecond */

static void fail(const char *why) {
    fprintf(stderr, "taker: %s\n", why);
    exit(1);
}

static double now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec + time.tv_nsec / 1e9;
}

static void ask(struct connection *one) {
    size_t size = strlen(request);
    one->left = -1;
    one->asked = now();
    if (send(one->socket, request, size, MSG_NOSIGNAL) != (ssize_t)size) fail("a request was not sent");
}

/* Bytes of content that are still to come, of a head and what came with it. */
static long read_head(const char *head, long size) {
    const char *end = memmem(head, size, "\r\n\r\n", 4);
    const char *line = strcasestr(head, "\r\nContent-Length:");
    if (strncmp(head, "HTTP/1.1 200", 12)) fail("an answer is not 200");
    if (end == NULL || line == NULL || line > end) fail("a head is not whole, or has no Content-Length");
    long told = atol(line + strlen("\r\nContent-Length:"));
    if (length && told != length) fail("another Content-Length");
    length = told;
    return length - (size - (end + 4 - head));
}

static void count(struct connection *one) {
    int slot = (now() - one->asked) * 1e5;
    took[slot < SLOTS ? slot : SLOTS - 1]++;
    answers++;
}

static long receive(struct connection *one) {
    char head[HEAD + 1];
    if (one->left >= 0) {
        long got = recv(one->socket, NULL, one->left, MSG_TRUNC | MSG_DONTWAIT);
        if (got > 0) one->left -= got;
        return got;
    }
    long got = recv(one->socket, head, HEAD, MSG_DONTWAIT);
    if (got > 0) {
        head[got] = 0;
        one->left = read_head(head, got);
    }
    return got;
}

/* All that is there; the next request, once the answer is whole. */
static void take(struct connection *one) {
    do {
        long got = receive(one);
        if (got < 0 && errno == EAGAIN) return;
        if (got <= 0) fail("a connection was ended");
        bytes += got;
    } while (one->left > 0);
    if (one->left < 0) fail("more than Content-Length");
    count(one);
    ask(one);
}

static void come(struct connection *one, int port, int poll) {
    struct sockaddr_in there = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = one};
    int yes = 1;
    inet_pton(AF_INET, "127.0.0.1", &there.sin_addr);
    one->socket = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(one->socket, (struct sockaddr *)&there, sizeof there)) fail("no connection");
    setsockopt(one->socket, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    epoll_ctl(poll, EPOLL_CTL_ADD, one->socket, &event);
    ask(one);
}

static double p99(void) {
    long seen = 0;
    for (int slot = 0; slot < SLOTS - 1; slot++)
        if ((seen += took[slot]) >= answers * 0.99) return (slot + 1) / 1e5;
    fail("answers took more than ten seconds");
    return 0;
}

int main(int number, char **words) {
    if (number != 5) fail("PORT CONNECTIONS SECONDS REQUEST");
    int connections = atoi(words[2]), poll = epoll_create1(0);
    struct connection *all = calloc(connections, sizeof *all);
    struct epoll_event ready[READY];
    request = words[4];
    double began = now(), until = began + atof(words[3]);
    for (int each = 0; each < connections; each++) come(&all[each], atoi(words[1]), poll);
    while (now() < until) {
        int found = epoll_wait(poll, ready, READY, 100);
        for (int each = 0; each < found; each++) take(ready[each].data.ptr);
    }
    printf("%ld %.6f %ld %.5f\n", answers, now() - began, bytes, p99());
    return 0;
}
