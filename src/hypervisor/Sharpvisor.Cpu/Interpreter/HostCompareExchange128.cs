// .NET has no 128-bit compare-and-exchange, so a CMPXCHG16B of the host is called through a few bytes of machine code.
using System.Runtime.CompilerServices;
using System.Runtime.InteropServices;
using Sharpvisor.Cpu.Mmu;

namespace Sharpvisor.Cpu.Interpreter;

internal static unsafe partial class HostCompareExchange128
{
    private static readonly delegate* unmanaged[SuppressGCTransition]<ulong*, ulong*, ulong*, int> s_code = Create();

    /// <summary>Atomically replaces 16 aligned bytes if they equal <paramref name="expected"/>, which receives the old value otherwise.</summary>
    [MethodImpl(MethodImplOptions.NoInlining)]
    public static bool Run(ulong* host, ulong* expected, ulong* desired)
    {
        if (s_code != null)
        {
            return s_code(host, expected, desired) != 0;
        }

        // Not an x86-64 host: atomic among guests' CMPXCHG16B only.
        lock (GuestAccess.SplitLock)
        {
            bool equal = host[0] == expected[0] && host[1] == expected[1];
            expected[0] = host[0];
            expected[1] = host[1];
            if (equal)
            {
                host[0] = desired[0];
                host[1] = desired[1];
            }

            return equal;
        }
    }

    private static delegate* unmanaged[SuppressGCTransition]<ulong*, ulong*, ulong*, int> Create()
    {
        if (RuntimeInformation.ProcessArchitecture != Architecture.X64)
        {
            return null;
        }

        ReadOnlySpan<byte> code =
        [
            0x53,                               // push rbx
            0x49, 0x89, 0xD0,                   // mov r8, rdx
            0x48, 0x8B, 0x06,                   // mov rax, [rsi]
            0x48, 0x8B, 0x56, 0x08,             // mov rdx, [rsi+8]
            0x49, 0x8B, 0x18,                   // mov rbx, [r8]
            0x49, 0x8B, 0x48, 0x08,             // mov rcx, [r8+8]
            0xF0, 0x48, 0x0F, 0xC7, 0x0F,       // lock cmpxchg16b [rdi]
            0x48, 0x89, 0x06,                   // mov [rsi], rax
            0x48, 0x89, 0x56, 0x08,             // mov [rsi+8], rdx
            0x0F, 0x94, 0xC0,                   // sete al
            0x0F, 0xB6, 0xC0,                   // movzx eax, al
            0x5B,                               // pop rbx
            0xC3,                               // ret
        ];

        // SAFETY: one page, written once and then made executable; never unmapped.
        const int readWrite = 3;
        const int readExecute = 5;
        const int privateAnonymous = 0x22;
        void* page = Mmap(null, 4096, readWrite, privateAnonymous, -1, 0);
        if ((nint)page == -1)
        {
            return null;
        }

        code.CopyTo(new Span<byte>(page, 4096));
        return Mprotect(page, 4096, readExecute) == 0
            ? (delegate* unmanaged[SuppressGCTransition]<ulong*, ulong*, ulong*, int>)page
            : null;
    }

    [LibraryImport("libc", EntryPoint = "mmap")]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static partial void* Mmap(void* address, nuint length, int protection, int flags, int fd, long offset);

    [LibraryImport("libc", EntryPoint = "mprotect")]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    private static partial int Mprotect(void* address, nuint length, int protection);
}
