// Runs sequences on the host CPU: a trampoline loads all registers from the arena's control block, jumps to the sequence
// and stores everything back. RSP belongs to the sequence, so the host's is kept at a fixed address; signals that could
// arrive meanwhile are blocked, and synchronous ones use an alternate stack.
using Iced.Intel;
using static Iced.Intel.AssemblerRegisters;

namespace Sharpvisor.Cpu.Tests.Differential;

internal sealed unsafe class HostRunner : ISequenceRunner
{
    public const int OutputOffset = MachineState.Bytes;
    public const int HostRspOffset = MachineState.Bytes * 2;
    public const int MxcsrOffset = HostRspOffset + 8;
    public const int ExitAddressOffset = HostRspOffset + 16;
    private const int FlagsStackOffset = HostRspOffset + 256;
    private const int AlternateStackBytes = 0x1_0000;
    private const int SigSetBytes = 128;

    private static readonly AssemblerRegister64[] s_gprs =
        [rax, rcx, rdx, rbx, rsp, rbp, rsi, rdi, r8, r9, r10, r11, r12, r13, r14, r15];

    private readonly Arena _arena;
    private readonly ExecutablePages _code;
    private readonly ExecutablePages _trampoline;
    private readonly byte* _control;
    private readonly byte* _buffer;
    private readonly byte* _alternateStack;
    private readonly byte[] _savedMask = new byte[SigSetBytes];
    private readonly byte[] _savedStack = new byte[24];
    private readonly ulong _exit;

    public HostRunner(Arena arena)
    {
        _arena = arena;
        FaultHandler.Install();
        _code = new ExecutablePages(arena.Code, Arena.CodeBytes, modifiable: true);
        _control = HostCalls.MapAt(arena.Control, 0x1000, HostCalls.ProtRead | HostCalls.ProtWrite);
        _buffer = HostCalls.MapAt(arena.Buffer, Arena.BufferBytes, HostCalls.ProtRead | HostCalls.ProtWrite);
        _trampoline = new ExecutablePages(arena.Trampoline, 0x1000);
        _alternateStack = (byte*)HostCalls.mmap(
            null, AlternateStackBytes, HostCalls.ProtRead | HostCalls.ProtWrite, HostCalls.MapPrivate | HostCalls.MapAnonymous, -1, 0);
        byte[] entry = AssembleEntry(arena.Control);
        entry.CopyTo(new Span<byte>(_trampoline.Writable, entry.Length));
        _exit = arena.Trampoline + 0x800;
        byte[] exit = AssembleExit(arena.Control, _exit);
        exit.CopyTo(new Span<byte>(_trampoline.Writable + 0x800, exit.Length));
        *(uint*)(_control + MxcsrOffset) = 0x1F80;
        *(ulong*)(_control + ExitAddressOffset) = _exit;
    }

    public string Name => "host";

    public MachineState* Output => (MachineState*)(_control + OutputOffset);

    public byte* BufferPage(int page) => _buffer + (page * Arena.PageBytes);

    public void LoadCode(ReadOnlySpan<byte> code, ReadOnlySpan<int> terminators)
    {
        code.CopyTo(new Span<byte>(_code.Writable, Arena.CodeBytes));
        foreach (int offset in terminators)
        {
            // jmp rel32
            _code.Writable[offset] = 0xE9;
            *(int*)(_code.Writable + offset + 1) = (int)((long)_exit - (long)(_arena.Code + (ulong)offset + 5));
        }
    }

    public void Enter()
    {
        byte* stack = stackalloc byte[24];
        *(byte**)stack = _alternateStack;
        *(ulong*)(stack + 8) = 0;
        *(ulong*)(stack + 16) = AlternateStackBytes;
        byte* mask = stackalloc byte[SigSetBytes];
        new Span<byte>(mask, SigSetBytes).Fill(0xFF);
        foreach (int signal in (ReadOnlySpan<int>)[4, 5, 7, 8, 11])
        {
            mask[(signal - 1) / 8] &= (byte)~(1 << ((signal - 1) % 8));
        }

        fixed (byte* savedMask = _savedMask, savedStack = _savedStack)
        {
            _ = HostCalls.pthread_sigmask(HostCalls.SigBlock, mask, savedMask);
            _ = HostCalls.sigaltstack(stack, savedStack);
        }
    }

    public void Leave()
    {
        fixed (byte* savedMask = _savedMask, savedStack = _savedStack)
        {
            _ = HostCalls.sigaltstack(savedStack, null);
            _ = HostCalls.pthread_sigmask(HostCalls.SigSetMask, savedMask, null);
        }
    }

    public void Run(MachineState* initial, ulong end, byte* memory)
    {
        Buffer.MemoryCopy(memory, _buffer, Arena.BufferBytes, Arena.BufferBytes);
        Buffer.MemoryCopy(initial, _control, MachineState.Bytes, MachineState.Bytes);
        Output->Vector = MachineState.Completed;
        Output->ErrorCode = 0;
        Output->Cr2 = 0;
        ((delegate* unmanaged<void>)_trampoline.Executable)();
    }

    public void Dispose()
    {
        _code.Dispose();
        _trampoline.Dispose();
        _ = HostCalls.munmap(_control, 0x1000);
        _ = HostCalls.munmap(_buffer, Arena.BufferBytes);
        _ = HostCalls.munmap(_alternateStack, AlternateStackBytes);
    }

    private byte[] AssembleEntry(ulong control)
    {
        long c = (long)control;
        var a = new Assembler(64);
        foreach (AssemblerRegister64 register in (ReadOnlySpan<AssemblerRegister64>)[rbx, rbp, r12, r13, r14, r15])
        {
            a.push(register);
        }

        a.vzeroupper();
        a.mov(__qword_ptr[c + HostRspOffset], rsp);
        a.fxrstor64(__[c]);
        a.mov(rsp, c + MachineState.RFlagsOffset);
        a.popfq();
        for (int i = 0; i < 16; i++)
        {
            a.mov(s_gprs[i], __qword_ptr[c + MachineState.GprOffset + (i * 8)]);
        }

        a.jmp(__qword_ptr[c + MachineState.RipOffset]);
        return ToBytes(a, _arena.Trampoline);
    }

    private static byte[] AssembleExit(ulong control, ulong address)
    {
        long c = (long)control;
        long o = c + OutputOffset;
        var a = new Assembler(64);
        a.mov(__qword_ptr[o + MachineState.GprOffset + 32], rsp);
        a.mov(rsp, c + FlagsStackOffset);
        a.pushfq();
        a.pop(__qword_ptr[o + MachineState.RFlagsOffset]);
        for (int i = 0; i < 16; i++)
        {
            if (i != 4)
            {
                a.mov(__qword_ptr[o + MachineState.GprOffset + (i * 8)], s_gprs[i]);
            }
        }

        a.push(0x202);
        a.popfq();
        a.fxsave64(__[o]);
        a.fninit();
        a.ldmxcsr(__dword_ptr[c + MxcsrOffset]);
        a.mov(rsp, __qword_ptr[c + HostRspOffset]);
        foreach (AssemblerRegister64 register in (ReadOnlySpan<AssemblerRegister64>)[r15, r14, r13, r12, rbp, rbx])
        {
            a.pop(register);
        }

        a.ret();
        return ToBytes(a, address);
    }

    private static byte[] ToBytes(Assembler assembler, ulong address)
    {
        var writer = new ByteWriter();
        _ = assembler.Assemble(writer, address);
        return writer.ToArray();
    }
}
