/* The least a single-threaded HTTP server can do: epoll edge, recv, find the blank line, send
 * canned bytes, sendfile for large files. No parsing, no checks, no look-up: what it costs is the
 * kernel's share of a request. Not a server to use.
 *
 * usage: ceiling PORT SMALL_FILE LARGE_FILE [close]
 * "/missing" is answered with 404, a path that begins with "/large" with LARGE_FILE, anything else
 * with SMALL_FILE. With "close" every connection ends after its first response. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define DESCRIPTORS_MAX 65536
#define OUTPUT_MAX (64 * 1024)

/* What is left of a large response; zero while none is on its way. */
static off_t large_left[DESCRIPTORS_MAX];

static int large_fd;
static off_t large_bytes;
static char small[4096], missing[256], large_head[256], output[OUTPUT_MAX];
static size_t small_length, missing_length, large_head_length;
static int closes;

static void die(const char *what) { perror(what); exit(1); }

/* Returns 0 if the socket is full. */
static int send_large(int fd) {
    while (large_left[fd] > 0) {
        off_t offset = large_bytes - large_left[fd];
        ssize_t sent = sendfile(fd, large_fd, &offset, (size_t)large_left[fd]);
        if (sent <= 0) return 0;
        large_left[fd] -= sent;
    }
    return 1;
}

/* Answers every blank line in the input; requests arrive whole, as load generators send them. */
static void answer(int fd, const char *input, size_t length) {
    size_t used = 0;
    const char *end = input + length;
    for (const char *blank; (blank = memmem(input, (size_t)(end - input), "\r\n\r\n", 4)); input = blank + 4) {
        if (!memcmp(input, "GET /large", 10)) {
            large_left[fd] = large_bytes;
            send(fd, large_head, large_head_length, MSG_MORE | MSG_NOSIGNAL);
            send_large(fd);
            return;
        }
        int found = memcmp(input, "GET /missing", 12) != 0;
        size_t size = found ? small_length : missing_length;
        if (used + size > sizeof output) break;
        memcpy(output + used, found ? small : missing, size);
        used += size;
    }
    if (used) send(fd, output, used, MSG_NOSIGNAL);
}

/* Returns 0 when the connection is over. */
static int serve(int fd) {
    static char input[16 * 1024];
    if (!send_large(fd)) return 1;
    for (;;) {
        ssize_t got = recv(fd, input, sizeof input, 0);
        if (got < 0 && errno == EAGAIN) return 1;
        if (got <= 0) return 0;
        answer(fd, input, (size_t)got);
        if (closes) return 0;
        if ((size_t)got < sizeof input) return 1; /* a later byte is a later edge */
    }
}

static void accept_all(int listener, int epoll) {
    int fd, on = 1;
    while ((fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
        if (fd >= DESCRIPTORS_MAX) { close(fd); continue; }
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        large_left[fd] = 0;
        struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET, .data.fd = fd};
        epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
    }
}

static int listen_on(int port) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), on = 1;
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((unsigned short)port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, (struct sockaddr *)&address, sizeof address) || listen(fd, 4096)) die("listen");
    return fd;
}

static size_t head(char *into, size_t size, const char *status, long long length) {
    return (size_t)snprintf(into, size,
        "HTTP/1.1 %s\r\nServer: ceiling\r\nDate: Thu, 01 Jan 1970 00:00:00 GMT\r\n"
        "Content-Type: application/octet-stream\r\n%sContent-Length: %lld\r\n\r\n",
        status, closes ? "Connection: close\r\n" : "", length);
}

static void load(const char *small_path, const char *large_path) {
    struct stat status;
    int fd = open(small_path, O_RDONLY);
    if (fd < 0 || fstat(fd, &status)) die(small_path);
    small_length = head(small, sizeof small, "200 OK", status.st_size);
    if (small_length + (size_t)status.st_size > sizeof small) { fprintf(stderr, "%s: too large\n", small_path); exit(1); }
    if (read(fd, small + small_length, (size_t)status.st_size) != status.st_size) die(small_path);
    small_length += (size_t)status.st_size;
    close(fd);
    missing_length = head(missing, sizeof missing, "404 Not Found", 0);
    large_fd = open(large_path, O_RDONLY);
    if (large_fd < 0 || fstat(large_fd, &status)) die(large_path);
    large_bytes = status.st_size;
    large_head_length = head(large_head, sizeof large_head, "200 OK", large_bytes);
}

int main(int argc, char **argv) {
    if (argc < 4) { fprintf(stderr, "usage: ceiling PORT SMALL_FILE LARGE_FILE [close]\n"); return 2; }
    closes = argc > 4;
    signal(SIGPIPE, SIG_IGN); /* sendfile has no MSG_NOSIGNAL */
    load(argv[2], argv[3]);
    int listener = listen_on(atoi(argv[1])), epoll = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = listener};
    epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event);
    for (;;) {
        struct epoll_event events[256];
        int count = epoll_wait(epoll, events, 256, -1);
        for (int i = 0; i < count; i++) {
            int fd = events[i].data.fd;
            if (fd == listener) accept_all(listener, epoll);
            else if (!serve(fd)) close(fd);
        }
    }
}
