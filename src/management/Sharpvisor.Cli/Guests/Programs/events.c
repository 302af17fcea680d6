/*
 * Prints what input devices report, no C library: a line "EV type code value" an event, without EV_SYN and EV_MSC; ends when Q is released.
 * usage: events /dev/input/event...
 */
typedef unsigned long u64;
typedef long s64;

struct input_event { u64 seconds, microseconds; unsigned short type, code; int value; };
struct pollfd { int fd; short events, revents; };

static s64 call(s64 n, s64 a, s64 b, s64 c);
__asm__(".text\ncall:\n mov %rdi,%rax\n mov %rsi,%rdi\n mov %rdx,%rsi\n mov %rcx,%rdx\n syscall\n ret\n"
        ".globl _start\n_start:\n mov %rsp,%rdi\n and $-16,%rsp\n call start\n");

enum { SYS_read = 0, SYS_write = 1, SYS_open = 2, SYS_poll = 7, SYS_exit = 60, MAX_DEVICES = 16 };

static char line[64];
static int used;

static void put(const char *s) { while (*s) line[used++] = *s++; }

static void put_number(int value)
{
    char text[12];
    int i = 11;
    unsigned v = value < 0 ? -value : value;
    text[i] = 0;
    do text[--i] = '0' + v % 10; while (v /= 10);
    if (value < 0) text[--i] = '-';
    put(text + i);
}

void start(s64 *stack)
{
    char **arg = (char **)(stack + 1);
    struct pollfd devices[MAX_DEVICES];
    struct input_event event;
    int count = 0, i;
    while (count < MAX_DEVICES && arg[count + 1]) {
        devices[count].fd = call(SYS_open, (s64)arg[count + 1], 0, 0);
        devices[count++].events = 1;
    }
    call(SYS_write, 1, (s64)"LISTENING\n", 10);
    while (call(SYS_poll, (s64)devices, count, -1) > 0)
        for (i = 0; i < count; i++) {
            if (!(devices[i].revents & 1) || call(SYS_read, devices[i].fd, (s64)&event, sizeof event) != sizeof event) continue;
            if (event.type == 0 || event.type == 4) continue;
            used = 0;
            put("EV "); put_number(event.type); put(" "); put_number(event.code); put(" "); put_number(event.value); put("\n");
            call(SYS_write, 1, (s64)line, used);
            if (event.type == 1 && event.code == 16 && event.value == 0) for (;;) call(SYS_exit, 0, 0, 0);
        }
    for (;;) call(SYS_exit, 1, 0, 0);
}
