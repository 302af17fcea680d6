/*
 * The guest's end of `sharpvisor compare`'s network works, no C library. A TCP connection to ADDRESS PORT; the first 8 bytes say what
 * follows: 's' and bytes to send, 'r' and bytes to receive, 'p' and a number of one-byte round trips; 'u' sends datagrams of 64 bytes.
 * usage: netbench ADDRESS PORT send|receive|pingpong|udp BYTES_OR_COUNT
 * prints: REQUESTS BYTES MICROSECONDS (requests are packets of 1448 bytes, round trips or datagrams); exit status 1 and a line on any error.
 */
typedef unsigned long u64;
typedef long s64;

struct timespec { s64 seconds, nanoseconds; };
struct sockaddr_in { unsigned short family, port; unsigned address; u64 zero; };

enum { SYS_read = 0, SYS_write = 1, SYS_close = 3, SYS_socket = 41, SYS_connect = 42, SYS_setsockopt = 54, SYS_exit = 60, SYS_clock_gettime = 228,
       BLOCK = 65536, DATAGRAM = 64, PAYLOAD = 1448 };

static s64 call(s64 n, s64 a, s64 b, s64 c, s64 d, s64 e, s64 f);
__asm__(".text\ncall:\n push %rbx\n mov %rdi,%rax\n mov %rsi,%rdi\n mov %rdx,%rsi\n mov %rcx,%rdx\n mov %r8,%r10\n mov %r9,%r8\n"
        " mov 16(%rsp),%r9\n syscall\n pop %rbx\n ret\n"
        ".globl _start\n_start:\n mov %rsp,%rdi\n and $-16,%rsp\n call start\n");

static char block[BLOCK];
static struct sockaddr_in to;

static u64 length(const char *s) { u64 n = 0; while (s[n]) n++; return n; }
static void put(const char *s) { call(SYS_write, 1, (s64)s, length(s), 0, 0, 0); }
static void die(const char *what) { put("netbench: "); put(what); put("\n"); for (;;) call(SYS_exit, 1, 0, 0, 0, 0, 0); }
static void put_number(u64 v, char end) { char t[24]; int i = 23; t[i] = 0; t[--i] = end; do t[--i] = '0' + v % 10; while (v /= 10); put(t + i); }
static u64 microseconds(void) { struct timespec t; call(SYS_clock_gettime, 1, (s64)&t, 0, 0, 0, 0); return t.seconds * 1000000 + t.nanoseconds / 1000; }

static u64 number(const char **s)
{
    u64 v = 0;
    while (**s >= '0' && **s <= '9') v = v * 10 + *(*s)++ - '0';
    if (**s) (*s)++;
    return v;
}

static void transfer(s64 fd, s64 call_number, u64 bytes)
{
    while (bytes) {
        s64 n = call(call_number, fd, (s64)block, bytes < BLOCK ? bytes : BLOCK, 0, 0, 0);
        if (n <= 0) die("the connection ended");
        bytes -= n;
    }
}

void start(s64 *stack)
{
    char **arg = (char **)(stack + 1);
    const char *text;
    u64 count, begin, bytes, requests, i;
    s64 fd;
    int one = 1;
    char kind;
    if (stack[0] != 5) die("usage: ADDRESS PORT send|receive|pingpong|udp BYTES_OR_COUNT");
    text = arg[1];
    to.family = 2;
    for (i = 0; i < 4; i++) to.address |= number(&text) << (8 * i);
    text = arg[2];
    i = number(&text);
    to.port = i >> 8 | i << 8;
    text = arg[4];
    count = number(&text);
    kind = arg[3][0];
    fd = call(SYS_socket, 2, kind == 'u' ? 2 : 1, 0, 0, 0, 0);
    if (fd < 0 || call(SYS_connect, fd, (s64)&to, 16, 0, 0, 0) < 0) die("cannot connect");
    begin = microseconds();
    if (kind == 'u') {
        for (i = 0; i < count; i++) call(SYS_write, fd, (s64)block, DATAGRAM, 0, 0, 0);
        bytes = count * DATAGRAM;
        requests = count;
    } else {
        call(SYS_setsockopt, fd, 6 /* IPPROTO_TCP */, 1 /* TCP_NODELAY */, (s64)&one, 4, 0);
        *(u64 *)block = count << 8 | kind;
        transfer(fd, SYS_write, 8);
        bytes = count;
        requests = (count + PAYLOAD - 1) / PAYLOAD;
        if (kind == 's') {
            transfer(fd, SYS_write, count);
            transfer(fd, SYS_read, 1);
        } else if (kind == 'r') {
            transfer(fd, SYS_read, count);
        } else {
            for (i = 0; i < count; i++) { transfer(fd, SYS_write, 1); transfer(fd, SYS_read, 1); }
            requests = count;
        }
    }
    begin = microseconds() - begin;
    put_number(requests, ' '); put_number(bytes, ' '); put_number(begin ? begin : 1, '\n');
    for (;;) call(SYS_exit, 0, 0, 0, 0, 0, 0);
}
