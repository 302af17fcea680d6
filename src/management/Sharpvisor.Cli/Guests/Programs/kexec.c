/* kexec into a kernel file with kexec_file_load(2), no C library. usage: kexec KERNEL INITRD COMMAND_LINE */
typedef unsigned long u64;
typedef long s64;

static s64 call(s64 n, s64 a, s64 b, s64 c, s64 d, s64 e);
__asm__(".text\ncall:\n mov %rdi,%rax\n mov %rsi,%rdi\n mov %rdx,%rsi\n mov %rcx,%rdx\n mov %r8,%r10\n mov %r9,%r8\n syscall\n ret\n"
        ".globl _start\n_start:\n mov %rsp,%rdi\n and $-16,%rsp\n call start\n");

enum { SYS_write = 1, SYS_open = 2, SYS_exit = 60, SYS_reboot = 169, SYS_kexec_file_load = 320 };

static u64 length(const char *s) { u64 n = 0; while (s[n]) n++; return n; }

void start(s64 *stack)
{
    char **arg = (char **)(stack + 1);
    s64 kernel = call(SYS_open, (s64)arg[1], 0, 0, 0, 0), initrd = call(SYS_open, (s64)arg[2], 0, 0, 0, 0);
    if (call(SYS_kexec_file_load, kernel, initrd, length(arg[3]) + 1, (s64)arg[3], 0) == 0)
        call(SYS_reboot, (s64)0xfee1dead, 672274793, 0x45584543 /* LINUX_REBOOT_CMD_KEXEC */, 0, 0);
    call(SYS_write, 1, (s64)"kexec failed\n", 13, 0, 0);
    for (;;) call(SYS_exit, 1, 0, 0, 0, 0);
}
