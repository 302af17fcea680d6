// Catches the signals a sequence's exception becomes on Linux. The handler is native code: when the interrupted RIP lies
// in an arena's code it records trap number, error code and CR2 (arch/x86/include/uapi/asm/sigcontext.h) in that arena's
// control block and resumes at its exit stub; any other signal goes to the handler that was there before.
using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace Sharpvisor.Cpu.Tests.Differential;

internal static unsafe class FaultHandler
{
    // Offsets in ucontext_t (glibc sys/ucontext.h): uc_mcontext.gregs starts at 40.
    private const int UcRip = 40 + (16 * 8);
    private const int UcEfl = 40 + (17 * 8);
    private const int UcErr = 40 + (19 * 8);
    private const int UcTrapNo = 40 + (20 * 8);
    private const int UcCr2 = 40 + (22 * 8);

    private const ulong Address = 0x1F00_0000;
    private const int TableOffset = 0x1000;

    private static readonly int[] s_signals = [4, 5, 7, 8, 11];
    private static readonly Lock s_lock = new();
    private static ExecutablePages? s_code;

    /// <summary>Installs the handler once per process.</summary>
    public static void Install()
    {
        lock (s_lock)
        {
            if (s_code is not null)
            {
                return;
            }

            s_code = new ExecutablePages(Address, 0x2000);
            byte[] code = Assemble();
            code.CopyTo(new Span<byte>(s_code.Writable, code.Length));
            byte* action = stackalloc byte[152];
            byte* old = stackalloc byte[152];
            foreach (int signal in s_signals)
            {
                new Span<byte>(action, 152).Clear();
                _ = HostCalls.sigaction(signal, null, old);
                *(ulong*)(s_code.Writable + TableOffset + (signal * 8)) = *(ulong*)old;
                *(ulong*)action = Address;
                *(int*)(action + 136) = HostCalls.SaSigInfo | HostCalls.SaOnStack;
                if (HostCalls.sigaction(signal, action, null) != 0)
                {
                    throw new InvalidOperationException($"cannot handle signal {signal}");
                }
            }
        }
    }

    // edi signal, rsi siginfo, rdx ucontext.
    private static byte[] Assemble()
    {
        var a = new Assembler(64);
        Label chain = a.CreateLabel();
        Label fatal = a.CreateLabel();
        a.mov(rax, __qword_ptr[rdx + UcRip]);
        a.mov(rcx, rax);
        a.shr(rcx, 28);
        a.sub(rcx, (int)(Arena.FirstBase >> 28));
        a.cmp(rcx, Arena.MaximumCount);
        a.jae(chain);
        a.mov(ecx, eax);
        a.and(ecx, 0x0FFF_FFFF);
        a.cmp(ecx, Arena.CodeBytes);
        a.jae(chain);
        a.mov(ecx, eax);
        a.and(ecx, unchecked((int)0xF000_0000));
        a.add(rcx, (int)Arena.ControlOffset + HostRunner.OutputOffset);
        a.mov(__qword_ptr[rcx + MachineState.RipOffset], rax);
        a.mov(rax, __qword_ptr[rdx + UcTrapNo]);
        a.mov(__qword_ptr[rcx + MachineState.VectorOffset], rax);
        a.mov(rax, __qword_ptr[rdx + UcErr]);
        a.mov(__qword_ptr[rcx + MachineState.ErrorCodeOffset], rax);
        a.mov(rax, __qword_ptr[rdx + UcCr2]);
        a.mov(__qword_ptr[rcx + MachineState.Cr2Offset], rax);
        a.mov(rax, __qword_ptr[rcx + HostRunner.ExitAddressOffset - HostRunner.OutputOffset]);
        a.mov(__qword_ptr[rdx + UcRip], rax);
        a.and(__qword_ptr[rdx + UcEfl], ~0x100);
        a.ret();
        a.Label(ref chain);
        a.movsxd(rax, edi);
        a.mov(rax, __qword_ptr[(rax * 8) + (long)(Address + TableOffset)]);
        a.cmp(rax, 1);
        a.jbe(fatal);
        a.jmp(rax);
        a.Label(ref fatal);
        a.hlt();
        var writer = new ByteWriter();
        _ = a.Assemble(writer, Address);
        return writer.ToArray();
    }
}
