/*
 * The guest's end of `sharpvisor compare`: O_DIRECT I/O through Linux AIO at a fixed queue depth, no C library.
 * usage: diskbench DEVICE read|write sequential|random BLOCK_BYTES DEPTH REQUESTS SPAN_BYTES
 * prints: REQUESTS BYTES MICROSECONDS; exit status 1 and a line on any error.
 */
typedef unsigned long u64;
typedef long s64;

struct iocb { u64 data; unsigned key, rw_flags; unsigned short opcode; short priority; unsigned fd; u64 buffer, bytes; s64 offset; u64 reserved; unsigned flags, resfd; };
struct io_event { u64 data, object; s64 result, result2; };
struct timespec { s64 seconds, nanoseconds; };

enum { SYS_read = 0, SYS_write = 1, SYS_open = 2, SYS_mmap = 9, SYS_exit = 60, SYS_io_setup = 206, SYS_io_getevents = 208,
       SYS_io_submit = 209, SYS_clock_gettime = 228, O_RDWR = 2, O_DIRECT = 040000, MAX_DEPTH = 64 };

static s64 call(s64 n, s64 a, s64 b, s64 c, s64 d, s64 e, s64 f);
__asm__(".text\ncall:\n push %rbx\n mov %rdi,%rax\n mov %rsi,%rdi\n mov %rdx,%rsi\n mov %rcx,%rdx\n mov %r8,%r10\n mov %r9,%r8\n"
        " mov 16(%rsp),%r9\n syscall\n pop %rbx\n ret\n"
        ".globl _start\n_start:\n mov %rsp,%rdi\n and $-16,%rsp\n call start\n");

static u64 length(const char *s) { u64 n = 0; while (s[n]) n++; return n; }
static void put(const char *s) { call(SYS_write, 1, (s64)s, length(s), 0, 0, 0); }
static void die(const char *what) { put("diskbench: "); put(what); put("\n"); for (;;) call(SYS_exit, 1, 0, 0, 0, 0, 0); }
static u64 number(const char *s) { u64 v = 0; while (*s) v = v * 10 + *s++ - '0'; return v; }
static void put_number(u64 v, char end) { char t[24]; int i = 23; t[i] = 0; t[--i] = end; do t[--i] = '0' + v % 10; while (v /= 10); put(t + i); }
static u64 microseconds(void) { struct timespec t; call(SYS_clock_gettime, 1, (s64)&t, 0, 0, 0, 0); return t.seconds * 1000000 + t.nanoseconds / 1000; }

static struct iocb requests[MAX_DEPTH];
static struct io_event events[MAX_DEPTH];

void start(s64 *stack)
{
    char **arg = (char **)(stack + 1);
    u64 writing, random, block, depth, total, span, context = 0, submitted = 0, done = 0, seed = 88172645463325252UL, begin, i;
    s64 fd, buffers;
    if (stack[0] != 8) die("usage: DEVICE read|write sequential|random BLOCK_BYTES DEPTH REQUESTS SPAN_BYTES");
    writing = arg[2][0] == 'w'; random = arg[3][0] == 'r';
    block = number(arg[4]); depth = number(arg[5]); total = number(arg[6]); span = number(arg[7]);
    if (depth < 1 || depth > MAX_DEPTH || block < 512 || span < block) die("bad number");
    fd = call(SYS_open, (s64)arg[1], O_RDWR | O_DIRECT, 0, 0, 0, 0);
    if (fd < 0) die("cannot open the device");
    buffers = call(SYS_mmap, 0, depth * block, 3, 0x8022 /* PRIVATE|ANONYMOUS|POPULATE */, -1, 0);
    if (buffers < 0) die("no memory");
    if (call(SYS_io_setup, depth, (s64)&context, 0, 0, 0, 0) < 0) die("io_setup failed");
    begin = microseconds();
    for (i = 0; i < depth && i < total; i++) events[i].data = i;
    for (i = depth < total ? depth : total; done < total; ) {
        struct iocb *batch[MAX_DEPTH];
        u64 n = 0;
        s64 got;
        for (; n < i && submitted < total; n++, submitted++) {
            u64 slot = events[n].data, at = submitted % (span / block);
            struct iocb *r = &requests[slot];
            if (random) { seed ^= seed << 13; seed ^= seed >> 7; seed ^= seed << 17; at = seed % (span / block); }
            r->data = slot; r->opcode = writing; r->fd = fd; r->buffer = buffers + slot * block; r->bytes = block; r->offset = at * block;
            batch[n] = r;
        }
        if (n && call(SYS_io_submit, context, n, (s64)batch, 0, 0, 0) != (s64)n) die("io_submit failed");
        got = call(SYS_io_getevents, context, 1, MAX_DEPTH, (s64)events, 0, 0);
        if (got < 1) die("io_getevents failed");
        for (i = 0; i < (u64)got; i++) if (events[i].result != (s64)block) die("I/O error");
        done += i;
    }
    begin = microseconds() - begin;
    put_number(total, ' '); put_number(total * block, ' '); put_number(begin, '\n');
    for (;;) call(SYS_exit, 0, 0, 0, 0, 0, 0);
}
