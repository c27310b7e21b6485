/* The demo app: answers every request with /index.html, from an image that holds nothing else (FROM scratch).
 *
 * No C library and no headers: it is compiled on the server itself, with whatever compiler Varnish uses there, and
 * linked statically. System calls go through a stub of machine code, as tcc has no assembler on arm64.
 */
#if defined(__x86_64__)
enum { READ = 0, WRITE = 1, CLOSE = 3, SOCKET = 41, ACCEPT = 43, BIND = 49, LISTEN = 50, SETSOCKOPT = 54, OPENAT = 257, EXIT = 60 };
__attribute__((section(".text"))) static const unsigned char stub[] = {
    0x48, 0x89, 0xf8, 0x48, 0x89, 0xf7, 0x48, 0x89, 0xd6, 0x48, 0x89, 0xca, /* mov rax,rdi; rdi,rsi; rsi,rdx; rdx,rcx */
    0x4d, 0x89, 0xc2, 0x4d, 0x89, 0xc8, 0x0f, 0x05, 0xc3,                   /* mov r10,r8; r8,r9; syscall; ret */
};
#elif defined(__aarch64__)
enum { READ = 63, WRITE = 64, CLOSE = 57, SOCKET = 198, ACCEPT = 202, BIND = 200, LISTEN = 201, SETSOCKOPT = 208, OPENAT = 56, EXIT = 93 };
__attribute__((section(".text"))) static const unsigned int stub[] = {
    0xaa0003e8, 0xaa0103e0, 0xaa0203e1, 0xaa0303e2, 0xaa0403e3, 0xaa0503e4, /* mov x8,x0; x0,x1; x1,x2; ... x4,x5 */
    0xd4000001, 0xd65f03c0,                                                 /* svc #0; ret */
};
#else
#error "the demo knows amd64 and arm64"
#endif

typedef long (*call)(long number, long a, long b, long c, long d, long e);
#define CALL ((call)(long)stub)

enum { INET = 2, STREAM = 1, SOL_SOCKET_ = 1, REUSE = 2, RECEIVE_TIMEOUT = 20, HERE = -100, PORT = 8000, WAIT_S = 5 };

static char page[65536];
static char request[8192];
static const char head[] = "HTTP/1.1 200 OK\r\nContent-Type: text/html; charset=utf-8\r\nConnection: close\r\n\r\n";
static long page_bytes;

static void answer(long client) {
    long wait[2] = {WAIT_S, 0};
    CALL(SETSOCKOPT, client, SOL_SOCKET_, RECEIVE_TIMEOUT, (long)wait, sizeof wait);
    if (CALL(READ, client, (long)request, sizeof request, 0, 0) > 0) {
        long length = page_bytes, done = 0, n;
        CALL(WRITE, client, (long)head, sizeof head - 1, 0, 0);
        if (request[0] == 'H') length = 0; /* HEAD */
        while (done < length && (n = CALL(WRITE, client, (long)(page + done), length - done, 0, 0)) > 0) done += n;
    }
    CALL(CLOSE, client, 0, 0, 0, 0);
}

void _start(void) {
    unsigned char address[16] = {INET, 0, PORT >> 8, PORT & 255, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0};
    int yes = 1;
    long file = CALL(OPENAT, HERE, (long)"/index.html", 0, 0, 0), server = CALL(SOCKET, INET, STREAM, 0, 0, 0), client;
    page_bytes = CALL(READ, file, (long)page, sizeof page, 0, 0);
    CALL(SETSOCKOPT, server, SOL_SOCKET_, REUSE, (long)&yes, sizeof yes);
    if (page_bytes <= 0 || CALL(BIND, server, (long)address, sizeof address, 0, 0) < 0) CALL(EXIT, 1, 0, 0, 0, 0);
    CALL(LISTEN, server, 128, 0, 0, 0);
    for (;;)
        if ((client = CALL(ACCEPT, server, 0, 0, 0, 0)) >= 0) answer(client);
}
