/* A web application with habits, set by environment: what the end-to-end tests deploy.
 *
 * PORT (8000) LISTEN_PORT LISTEN_HOST VERSION BOOT_MS HEALTH_MS CRASH IGNORE_TERM DRAIN_MS RELEASE_MS RELEASE_EXIT GONE
 * FAIL_EVERY=N answers each Nth request with 500, SLOW_MS=N takes N ms for each (but not for /healthz)
 * EARLY="103 Early Hints" sends that before each answer (but not for /healthz)
 * /            "VERSION"          /x?ms=N   the same after N ms       /stream  eight pieces, 0.5 s apart; ?ms=N
 * /healthz     503 until HEALTH_MS have passed                        POST     "VERSION length checksum" of the body
 * /public/...  may be cached for 60 s; 404 for the path GONE
 * /env?NAME    that variable      /log?TEXT prints it to stdout       /crash   exits 9 at once
 * /doom        exits 9 at once, and that container exits 7 whenever it is started again
 * /ws          a websocket for clients that do not check its key: "VERSION: TEXT" for a text of up to 100 bytes;
 *              closed with 1001 on SIGTERM
 * Arguments: `tiny check` is a HEALTHCHECK; `tiny work` prints a line a second; `tiny release` exits with
 * RELEASE_EXIT after RELEASE_MS.
 * On SIGTERM it stops listening, finishes the requests in flight, and logs how many there were. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <poll.h>
#include <time.h>
#include <unistd.h>

static volatile sig_atomic_t term;
static int in_flight, answered;
static struct timespec born;

static const char *text(const char *n, const char *d) { const char *v = getenv(n); return v && *v ? v : d; }
static int number(const char *n, int d) { return atoi(text(n, "")) ? atoi(text(n, "")) : d; }
static void nap(int ms) { struct timespec t = {ms / 1000, ms % 1000 * 1000000L}; while (nanosleep(&t, &t)); }
static void on_term(int s) { (void)s; if (!getenv("IGNORE_TERM")) term = 1; }
static int age_ms(void) {
    struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t);
    return (t.tv_sec - born.tv_sec) * 1000 + (t.tv_nsec - born.tv_nsec) / 1000000;
}
static void reply(int c, const char *status, const char *body, int head) {
    dprintf(c, "HTTP/1.1 %s\r\nContent-Type: text/plain\r\nContent-Length: %zu\r\n\r\n%s", status, strlen(body), head ? "" : body);
}
static void stream(int c, int ms) {
    dprintf(c, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n\r\n");
    for (int i = 0; i < 8; i++, nap(ms)) { char b[300]; int n = snprintf(b, sizeof b, "%s %d\n", text("VERSION", "v0"), i); dprintf(c, "%x\r\n%s\r\n", n, b); }
    dprintf(c, "0\r\n\r\n");
}
static void answer(int c, const char *method, const char *path, long length, unsigned sum) {
    char body[4096]; const char *version = text("VERSION", "v0"), *query = strchr(path, '?'); int head = !strcmp(method, "HEAD");
    if (!strncmp(path, "/x?ms=", 6)) nap(atoi(path + 6));
    if (!strcmp(path, "/crash")) _exit(9);
    if (!strcmp(path, "/doom")) { close(creat("/doomed", 0600)); _exit(9); }
    if (strcmp(path, "/healthz")) {
        nap(number("SLOW_MS", 0));
        if (getenv("EARLY")) dprintf(c, "HTTP/1.1 %s\r\nLink: </style.css>; rel=preload; as=style\r\n\r\n", getenv("EARLY"));
        int every = number("FAIL_EVERY", 0);
        if (every && __sync_add_and_fetch(&answered, 1) % every == 0) { printf("failing\n"); reply(c, "500 Failing", "failing\n", head); return; }
    }
    if (!strcmp(path, "/stream")) { stream(c, 500); return; }
    if (!strncmp(path, "/stream?ms=", 11)) { stream(c, atoi(path + 11)); return; }
    if (strcmp(path, "/") && !strcmp(path, text("GONE", ""))) { reply(c, "404 Not Found", "gone\n", head); return; }
    if (!strncmp(path, "/public/", 8)) {
        printf("asked for %s\n", path);
        dprintf(c, "HTTP/1.1 200 OK\r\nContent-Type: text/css\r\nCache-Control: public, max-age=60\r\nContent-Length: %zu\r\n\r\n%s\n", strlen(version) + 1, head ? "" : version);
        return;
    }
    if (!strncmp(path, "/log?", 5)) { printf("%s\n", query + 1); }
    if (!strcmp(path, "/healthz") && age_ms() < number("HEALTH_MS", 0)) { reply(c, "503 Not Yet", "not yet\n", head); return; }
    if (!strcmp(method, "POST")) snprintf(body, sizeof body, "%s %ld %u\n", version, length, sum);
    else if (!strncmp(path, "/env?", 5)) snprintf(body, sizeof body, "%s", text(query + 1, ""));
    else snprintf(body, sizeof body, "%s\n", version);
    reply(c, "200 OK", body, head);
}
static void websocket(int c) {
    unsigned char frame[128], *mask = frame + 2, *said = frame + 6; char body[300];
    dprintf(c, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\n");
    for (;;) {
        struct pollfd p = {c, POLLIN, 0};
        if (term) { if (write(c, "\x88\x02\x03\xe9", 4) == 4) read(c, frame, sizeof frame); return; }
        if (poll(&p, 1, 50) <= 0) continue;
        if (read(c, frame, sizeof frame) < 6 || frame[0] != 0x81) return;
        int n = frame[1] & 0x7f; if (n > 100) return;
        for (int i = 0; i < n; i++) said[i] ^= mask[i % 4];
        n = snprintf(body + 2, sizeof body - 2, "%.20s: %.*s", text("VERSION", "v0"), n, said);
        body[0] = (char)0x81; body[1] = (char)n;
        if (write(c, body, n + 2) != n + 2) return;
    }
}
static void *serve(void *arg) {
    int c = (int)(long)arg; FILE *f = fdopen(c, "r"); char line[8192], method[16], path[4096];
    int last = 0;
    while (!term && !last && fgets(line, sizeof line, f) && sscanf(line, "%15s %4095s", method, path) == 2) {
        __sync_fetch_and_add(&in_flight, 1);
        long length = 0; unsigned sum = 0; int chunked = 0;
        while (fgets(line, sizeof line, f) && line[0] != '\r') {
            if (!strncasecmp(line, "Content-Length:", 15)) length = atol(line + 15);
            if (!strncasecmp(line, "Transfer-Encoding: chunked", 26)) chunked = 1;
            if (!strncasecmp(line, "Connection: close", 17)) last = 1;
        }
        for (long left = length, total = 0; left > 0 || chunked; left = 0) {
            if (chunked) { if (!fgets(line, sizeof line, f)) break; left = strtol(line, 0, 16); }
            for (long i = 0; i < left; i++) sum = sum * 31 + (unsigned)getc(f);
            total += left;
            if (chunked && fgets(line, sizeof line, f) && left == 0) { length = total; break; }
        }
        if (!strcmp(path, "/ws")) websocket(c); else answer(c, method, path, length, sum);
        __sync_fetch_and_sub(&in_flight, 1);
        if (!strcmp(path, "/ws")) break;
    }
    fclose(f);
    return NULL;
}
static int check(int port) {
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int c = socket(AF_INET, SOCK_STREAM, 0); char b[64] = "";
    if (connect(c, (void *)&a, sizeof a)) return 1;
    dprintf(c, "GET /healthz HTTP/1.1\r\n\r\n");
    return read(c, b, sizeof b - 1) < 12 || strncmp(b + 9, "200", 3);
}
int main(int argc, char **argv) {
    int port = number("LISTEN_PORT", number("PORT", 8000)), on = 1;
    setvbuf(stdout, NULL, _IOLBF, 0);
    clock_gettime(CLOCK_MONOTONIC, &born);
    struct sigaction sa = {.sa_handler = on_term}; sigaction(SIGTERM, &sa, NULL); signal(SIGPIPE, SIG_IGN);
    if (argc > 1 && !strcmp(argv[1], "check")) return check(port);
    if (argc > 1 && !strcmp(argv[1], "release")) { printf("migrating %s\n", text("VERSION", "v0")); nap(number("RELEASE_MS", 0)); return number("RELEASE_EXIT", 0); }
    if (argc > 1 && !strcmp(argv[1], "work")) { for (int i = 0; !term; i++) { if (i % 10 == 0) printf("working %s\n", text("VERSION", "v0")); nap(100); } return 0; }
    if (getenv("CRASH")) { fprintf(stderr, "cannot start: CRASH=%s\n", getenv("CRASH")); return number("CRASH", 1); }
    if (!access("/doomed", F_OK)) return 7;
    nap(number("BOOT_MS", 0));
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(port)}; inet_pton(AF_INET, text("LISTEN_HOST", "0.0.0.0"), &a.sin_addr);
    int s = socket(AF_INET, SOCK_STREAM, 0); setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(s, (void *)&a, sizeof a) || listen(s, 1024)) { perror("cannot listen"); return 1; }
    printf("listening on %s:%d, %s\n", text("LISTEN_HOST", "0.0.0.0"), port, text("VERSION", "v0"));
    while (!term) {
        struct pollfd p = {s, POLLIN, 0}; int c; pthread_t t;
        if (poll(&p, 1, 100) > 0 && (c = accept(s, NULL, NULL)) >= 0 && !pthread_create(&t, NULL, serve, (void *)(long)c)) pthread_detach(t);
    }
    printf("SIGTERM with %d in flight\n", in_flight);
    close(s);
    for (nap(number("DRAIN_MS", 0)); in_flight; nap(10));
    return 0;
}
