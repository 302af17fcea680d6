/* AF_VSOCK (vsock(7)) for busybox, no C library. vsock connect PORT [SECONDS]: standard input to CID 2 and what comes back to standard output;
   vsock listen PORT COUNT: answers COUNT connections with what they send, each to its end, the next one meanwhile waiting.
   Both shut their sending side down when their input ends (shutdown(2)) and then go on to read. */
typedef unsigned long u64;
typedef long s64;
typedef unsigned int u32;

static s64 call(s64 n, s64 a, s64 b, s64 c, s64 d, s64 e);
__asm__(".text\ncall:\n mov %rdi,%rax\n mov %rsi,%rdi\n mov %rdx,%rsi\n mov %rcx,%rdx\n mov %r8,%r10\n mov %r9,%r8\n syscall\n ret\n"
        ".globl _start\n_start:\n mov %rsp,%rdi\n and $-16,%rsp\n call start\n");

enum { SYS_read = 0, SYS_write = 1, SYS_close = 3, SYS_socket = 41, SYS_connect = 42, SYS_accept = 43, SYS_shutdown = 48,
       SYS_bind = 49, SYS_listen = 50, SYS_setsockopt = 54, SYS_fork = 57,
       SYS_exit = 60 };
enum { AF_VSOCK = 40, SOCK_STREAM = 1, SHUT_WR = 1, SO_VM_SOCKETS_CONNECT_TIMEOUT = 6 };

static char buffer[65536];

static s64 number(const char *s) { s64 n = 0; while (*s) n = n * 10 + *s++ - '0'; return n; }

static void fail(const char *what)
{
    s64 n = 0;
    while (what[n]) n++;
    call(SYS_write, 2, (s64)what, n, 0, 0);
    for (;;) call(SYS_exit, 1, 0, 0, 0, 0);
}

/* 0 at the end of the input. */
static s64 copy(s64 from, s64 to)
{
    s64 n = call(SYS_read, from, (s64)buffer, sizeof buffer, 0, 0), done = 0;
    if (n < 0) fail("vsock: read failed\n");
    while (done < n) {
        s64 sent = call(SYS_write, to, (s64)(buffer + done), n - done, 0, 0);
        if (sent <= 0) fail("vsock: write failed\n");
        done += sent;
    }
    return n;
}

/* Each way has a process of its own: whoever echoes stops reading when nobody takes its answers. */
static void both_ways(s64 socket)
{
    if (call(SYS_fork, 0, 0, 0, 0, 0) == 0) {
        while (copy(0, socket)) ;
        call(SYS_shutdown, socket, SHUT_WR, 0, 0, 0);
    } else {
        while (copy(socket, 1)) ;
    }
}

void start(s64 *stack)
{
    char **arg = (char **)(stack + 1);
    int listening = arg[1][0] == 'l';
    /* struct sockaddr_vm: family, port, CID (2: the host, all ones: any). */
    struct { unsigned short family, zero; u32 port, cid, flags; } address = { AF_VSOCK, 0, number(arg[2]), listening ? ~0u : 2, 0 };
    s64 socket = call(SYS_socket, AF_VSOCK, SOCK_STREAM, 0, 0, 0);
    if (!listening) {
        /* hv_sock learns of a refusal by timeout only, and the default of 2 s is short where processors are software. */
        s64 patience[2] = { arg[3] ? number(arg[3]) : 60, 0 };
        call(SYS_setsockopt, socket, AF_VSOCK, SO_VM_SOCKETS_CONNECT_TIMEOUT, (s64)patience, sizeof patience);
        if (call(SYS_connect, socket, (s64)&address, sizeof address, 0, 0)) fail("vsock: connect failed\n");
        both_ways(socket);
    } else {
        if (call(SYS_bind, socket, (s64)&address, sizeof address, 0, 0) || call(SYS_listen, socket, 64, 0, 0, 0)) fail("vsock: listen failed\n");
        call(SYS_write, 1, (s64)"vsock: listening\n", 17, 0, 0);
        for (s64 count = number(arg[3]); count > 0; count--) {
            s64 one = call(SYS_accept, socket, 0, 0, 0, 0);
            if (one < 0) fail("vsock: accept failed\n");
            while (copy(one, one)) ;
            call(SYS_close, one, 0, 0, 0, 0);
        }
    }
    for (;;) call(SYS_exit, 0, 0, 0, 0, 0);
}
