// Guest vector registers and x87 state move into the host's registers when a block first needs them after an entry, and back
// when translated code is left. What may not run on the host (CR0, CR4, an unmasked exception) is refused: the interpreter does it.
namespace Sharpvisor.Cpu.Translator;

internal static class FloatingPointState
{
    private const int LoadUnaligned = 0x0F10;
    private const int StoreUnaligned = 0x0F11;
    private const int AllMasked = 0x1F80;
    private const int Cr0EmTs = 0xC;
    private const int Cr4OsFxsr = 0x200;
    /// <summary>FCW in the low half, FSW in the high one: all exceptions masked, none pending.</summary>
    private const int X87Masks = 0x3F;
    private const int X87Pending = 0x80 << 16;
    /// <summary>The return address of the call to a stub lies on the frame.</summary>
    private const int Called = 8;
    private const int Rbx = 3;
    private const int Xsave = 4;
    private const int Xrstor = 5;

    /// <summary>A stub to be called; with the op in <see cref="Host.Address"/>, which it leaves to the interpreter if it must.</summary>
    public static int EmitLoadVector(Emitter e, int exitUnlinked)
    {
        StateOffsets o = StateOffsets.Instance;
        int start = e.Position;
        e.RegMem(0x8B, 8, Host.Value, Host.Rsp, Called + Host.State);
        e.RegMem(0xF7, 4, 0, Host.Value, o.Cr0);
        e.Int32(Cr0EmTs);
        int refused = e.JumpIf(5);
        e.RegMem(0xF7, 4, 0, Host.Value, o.Cr4);
        e.Int32(Cr4OsFxsr);
        int off = e.JumpIf(4);
        e.RegMem(0x8B, 4, Host.Value, Host.Value, o.Mxcsr);
        e.RegReg(0x81, 4, 4, Host.Value);
        e.Int32(AllMasked);
        e.RegReg(0x81, 4, 7, Host.Value);
        e.Int32(AllMasked);
        int unmasked = e.JumpIf(5);
        e.RegMem(0x8B, 8, Host.Value, Host.Rsp, Called + Host.State);
        e.RegMem(0x0FAE, 4, 3, Host.Rsp, Called + Host.HostMxcsr);
        e.RegMem(0x0FAE, 4, 2, Host.Value, o.Mxcsr);
        for (int i = 0; i < 16; i++)
        {
            e.RegMem(LoadUnaligned, 4, i, Host.Value, o.Vector + (i * 32));
        }

        e.RegMem(0xC7, 4, 0, Host.Rsp, Called + Host.VectorLoaded);
        e.Int32(1);
        e.Byte(0xC3);
        foreach (int jump in (ReadOnlySpan<int>)[refused, off, unmasked])
        {
            e.Bind(jump, e.Position);
        }

        EmitRefuse(e, exitUnlinked);
        return start;
    }

    /// <inheritdoc cref="EmitLoadVector"/>
    public static int EmitLoadX87(Emitter e, int exitUnlinked)
    {
        StateOffsets o = StateOffsets.Instance;
        int start = e.Position;
        e.RegMem(0x8B, 8, Host.Value, Host.Rsp, Called + Host.State);
        e.RegMem(0xF7, 4, 0, Host.Value, o.Cr0);
        e.Int32(Cr0EmTs);
        int refused = e.JumpIf(5);
        e.RegMem(0xF7, 4, 0, Host.Value, o.Fcw);
        e.Int32(X87Pending);
        int pending = e.JumpIf(5);
        e.RegMem(0x8B, 4, Host.Value, Host.Value, o.Fcw);
        e.RegReg(0x81, 4, 4, Host.Value);
        e.Int32(X87Masks);
        e.RegReg(0x81, 4, 7, Host.Value);
        e.Int32(X87Masks);
        int unmasked = e.JumpIf(5);
        EmitRestoreX87(e, o);
        e.RegMem(0xC7, 4, 0, Host.Rsp, Called + Host.X87Loaded);
        e.Int32(1);
        e.Byte(0xC3);
        foreach (int jump in (ReadOnlySpan<int>)[refused, pending, unmasked])
        {
            e.Bind(jump, e.Position);
        }

        EmitRefuse(e, exitUnlinked);
        return start;
    }

    /// <summary>Part of the exit: guest registers are stored already, the state is in RDI; RAX stays.</summary>
    public static void EmitSave(Emitter e)
    {
        StateOffsets o = StateOffsets.Instance;
        e.RegMem(0x83, 4, 7, Host.Rsp, Host.VectorLoaded);
        e.Byte(0);
        int noVector = e.JumpIf(4);
        e.RegMem(0x0FAE, 4, 3, Host.Rdi, o.Mxcsr);
        e.RegMem(0x0FAE, 4, 2, Host.Rsp, Host.HostMxcsr);
        for (int i = 0; i < 16; i++)
        {
            e.RegMem(StoreUnaligned, 4, i, Host.Rdi, o.Vector + (i * 32));
        }

        e.Bind(noVector, e.Position);
        e.RegMem(0x83, 4, 7, Host.Rsp, Host.X87Loaded);
        e.Byte(0);
        int noX87 = e.JumpIf(4);
        e.RegReg(0x89, 8, Host.Rax, Host.Rsi);
        e.RegMem(0x8B, 8, Rbx, Host.Rdi, o.EnginePrivate);
        e.RegMem(0x8B, 8, Rbx, Rbx, o.XsaveArea);
        e.MovImmediate(Host.Rax, 1);
        e.RegReg(0x31, 4, Host.Rdx, Host.Rdx);
        e.RegMem(0x0FAE, 4, Xsave, Rbx, 0);
        // FNINIT: the host's own code finds its x87 as it knows it.
        e.Bytes([0xDB, 0xE3]);
        e.RegMem(0x8B, 4, Host.Rax, Rbx, 0);
        e.RegMem(0x89, 4, Host.Rax, Host.Rdi, o.Fcw);
        e.RegMem(0x0FB6, 4, Host.Rcx, Rbx, 4);
        e.RegMem(0x89, 2, Host.Rcx, Host.Rdi, o.Ftw);
        EmitTop(e);
        for (int i = 0; i < 8; i++)
        {
            e.RegMem(0x8B, 8, Host.Rax, Rbx, 32 + (i * 16));
            e.RegMem(0x0FB7, 4, Host.Rdx, Rbx, 40 + (i * 16));
            e.RegMem(0x89, 8, Host.Rax, Host.Rdi, Host.Rcx, 0, o.X87);
            e.RegMem(0x89, 8, Host.Rdx, Host.Rdi, Host.Rcx, 0, o.X87 + 8);
            EmitNext(e);
        }

        e.RegReg(0x89, 8, Host.Rsi, Host.Rax);
        e.Bind(noX87, e.Position);
    }

    // XRSTOR with only the x87 component requested does not touch vector registers or MXCSR (Intel SDM Vol. 1, 13.8). The area
    // has ST(i), the state the physical registers.
    private static void EmitRestoreX87(Emitter e, StateOffsets o)
    {
        e.RegMem(0x8B, 8, Host.Value, Host.Rsp, Called + Host.State);
        e.RegMem(0x89, 8, Host.Rax, Host.Rsp, Called + Host.Scratch);
        e.RegMem(0x89, 8, Host.Rcx, Host.Rsp, Called + Host.Scratch2);
        e.RegMem(0x89, 8, Host.Rdx, Host.Rsp, Called + Host.Scratch3);
        e.RegMem(0x8B, 8, Host.Address, Host.Value, o.EnginePrivate);
        e.RegMem(0x8B, 8, Host.Address, Host.Address, o.XsaveArea);
        e.RegMem(0x0FB7, 4, Host.Rcx, Host.Value, o.Ftw);
        e.RegMem(0x89, 4, Host.Rcx, Host.Address, 4);
        e.RegMem(0x8B, 4, Host.Rax, Host.Value, o.Fcw);
        e.RegMem(0x89, 4, Host.Rax, Host.Address, 0);
        EmitTop(e);
        for (int i = 0; i < 8; i++)
        {
            e.RegMem(0x8B, 8, Host.Rax, Host.Value, Host.Rcx, 0, o.X87);
            e.RegMem(0x8B, 8, Host.Rdx, Host.Value, Host.Rcx, 0, o.X87 + 8);
            e.RegMem(0x89, 8, Host.Rax, Host.Address, 32 + (i * 16));
            e.RegMem(0x89, 8, Host.Rdx, Host.Address, 40 + (i * 16));
            EmitNext(e);
        }

        // XSTATE_BV.
        e.RegMem(0xC7, 8, 0, Host.Address, 512);
        e.Int32(1);
        e.MovImmediate(Host.Rax, 1);
        e.RegReg(0x31, 4, Host.Rdx, Host.Rdx);
        e.RegMem(0x0FAE, 4, Xrstor, Host.Address, 0);
        e.RegMem(0x8B, 8, Host.Rax, Host.Rsp, Called + Host.Scratch);
        e.RegMem(0x8B, 8, Host.Rcx, Host.Rsp, Called + Host.Scratch2);
        e.RegMem(0x8B, 8, Host.Rdx, Host.Rsp, Called + Host.Scratch3);
    }

    /// <summary>FSW's TOP, times 16, in RCX; FSW is the high half of EAX.</summary>
    private static void EmitTop(Emitter e)
    {
        e.RegReg(0x89, 4, Host.Rax, Host.Rcx);
        e.RegReg(0xC1, 4, 5, Host.Rcx);
        e.Byte(16 + 11 - 4);
        e.RegReg(0x83, 4, 4, Host.Rcx);
        e.Byte(0x70);
    }

    private static void EmitNext(Emitter e)
    {
        e.RegReg(0x83, 4, 0, Host.Rcx);
        e.Byte(16);
        e.RegReg(0x83, 4, 4, Host.Rcx);
        e.Byte(0x70);
    }

    private static void EmitRefuse(Emitter e, int exitUnlinked)
    {
        e.RegReg(0x83, 8, 0, Host.Rsp);
        e.Byte(Called);
        e.Jump(exitUnlinked);
    }
}
