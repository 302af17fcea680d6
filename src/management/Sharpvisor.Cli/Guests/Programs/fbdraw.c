/* Copies a picture into a frame buffer by mmap(2), as graphical programs draw, no C library. usage: fbdraw PICTURE DEVICE */
typedef unsigned long u64;
typedef long s64;

static s64 call(s64 n, s64 a, s64 b, s64 c, s64 d, s64 e, s64 f);
__asm__(".text\ncall:\n push %rbx\n mov %rdi,%rax\n mov %rsi,%rdi\n mov %rdx,%rsi\n mov %rcx,%rdx\n mov %r8,%r10\n mov %r9,%r8\n"
        " mov 16(%rsp),%r9\n syscall\n pop %rbx\n ret\n"
        ".globl _start\n_start:\n mov %rsp,%rdi\n and $-16,%rsp\n call start\n");

enum { SYS_write = 1, SYS_open = 2, SYS_lseek = 8, SYS_mmap = 9, SYS_pause = 34, SYS_exit = 60, O_RDWR = 2, SEEK_END = 2 };

void start(s64 *stack)
{
    char **arg = (char **)(stack + 1);
    s64 picture = call(SYS_open, (s64)arg[1], 0, 0, 0, 0, 0), device = call(SYS_open, (s64)arg[2], O_RDWR, 0, 0, 0, 0);
    s64 bytes = call(SYS_lseek, picture, 0, SEEK_END, 0, 0, 0), i;
    u64 *from = (u64 *)call(SYS_mmap, 0, bytes, 1, 2 /* PRIVATE */, picture, 0);
    u64 *to = (u64 *)call(SYS_mmap, 0, bytes, 3, 1 /* SHARED */, device, 0);
    if ((s64)from < 0 || (s64)to < 0) {
        call(SYS_write, 1, (s64)"fbdraw: cannot map\n", 19, 0, 0, 0);
        for (;;) call(SYS_exit, 1, 0, 0, 0, 0, 0);
    }
    for (i = 0; i < bytes / 8; i++) to[i] = from[i];
    call(SYS_write, 1, (s64)"DRAWN\n", 6, 0, 0, 0);
    for (;;) call(SYS_pause, 0, 0, 0, 0, 0, 0);
}
