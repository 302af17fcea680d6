// The way into translated code and out of it. The frame lies on the thread's own stack, so signals and stack walks see
// nothing unusual; everything that interpreter handlers may change is copied into it at each entry.

namespace Sharpvisor.Cpu.Translator;

/// <summary>Emits the two stubs. <c>Op* enter(VpState*, byte* target, ulong flags)</c>, System V ABI.</summary>
internal static unsafe class Trampoline
{
    private static readonly int[] s_calleeSaved = [3, 5, 12, 13, 14, 15];

    public static void EmitEntry(Emitter e)
    {
        StateOffsets o = StateOffsets.Instance;
        foreach (int register in s_calleeSaved)
        {
            PushPop(e, 0x50, register);
        }

        e.RegReg(0x81, 8, 5, Host.Rsp);
        e.Int32(Host.FrameBytes);
        e.RegMem(0x89, 8, Host.Rdi, Host.Rsp, Host.State);
        e.RegReg(0x89, 8, Host.Rdx, Host.Rax);
        e.RegReg(0x89, 8, Host.Rsi, Host.Value);
        e.RegMem(0x8B, 8, Host.Address, Host.Rdi, o.EnginePrivate);
        if (HostFeatures.GsBase)
        {
            // WRGSBASE: the TLB is addressed relative to GS, which neither the runtime nor the C library uses on Linux.
            e.RegMem(0x8B, 8, Host.Rcx, Host.Address, o.Tlb);
            e.Byte(0xF3);
            e.RegReg(0x0FAE, 8, 3, Host.Rcx);
        }
        else
        {
            Copy(e, Host.Address, o.Tlb, Host.Tlb);
        }

        Copy(e, Host.Address, o.NativeJumps, Host.JumpCache);
        for (int guest = 12; guest < 16; guest++)
        {
            Copy(e, Host.Rdi, o.Gpr + (guest * 8), Host.Slot(guest));
        }

        Copy(e, Host.Rdi, o.Gpr + (17 * 8), Host.PageBase);
        Copy(e, Host.Rdi, o.FsBase, Host.FsBase);
        Copy(e, Host.Rdi, o.GsBase, Host.GsBase);
        e.RegMem(0xC7, 8, 0, Host.Rsp, Host.Instructions);
        e.Int32(0);
        e.RegMem(0xC7, 4, 0, Host.Rsp, Host.VectorLoaded);
        e.Int32(0);
        e.RegMem(0xC7, 4, 0, Host.Rsp, Host.X87Loaded);
        e.Int32(0);
        for (int guest = 0; guest < 12; guest++)
        {
            if (guest != Host.Rdi)
            {
                e.RegMem(0x8B, 8, Host.Of(guest), Host.Rdi, o.Gpr + (guest * 8));
            }
        }

        e.RegMem(0x8B, 8, Host.Rdi, Host.Rdi, o.Gpr + (Host.Rdi * 8));
        e.RegReg(0xFF, 4, 4, Host.Value);
    }

    /// <summary>In: the op in <see cref="Host.Address"/>, the link in <see cref="Host.Value"/>.</summary>
    public static void EmitExit(Emitter e)
    {
        StateOffsets o = StateOffsets.Instance;
        e.RegMem(0x89, 8, Host.Rdi, Host.Rsp, Host.Scratch);
        e.RegMem(0x8B, 8, Host.Rdi, Host.Rsp, Host.State);
        for (int guest = 0; guest < 12; guest++)
        {
            if (guest != Host.Rdi)
            {
                e.RegMem(0x89, 8, Host.Of(guest), Host.Rdi, o.Gpr + (guest * 8));
            }
        }

        Back(e, Host.Scratch, o.Gpr + (Host.Rdi * 8));
        Back(e, Host.PageBase, o.Gpr + (17 * 8));
        for (int guest = 12; guest < 16; guest++)
        {
            Back(e, Host.Slot(guest), o.Gpr + (guest * 8));
        }

        FloatingPointState.EmitSave(e);
        e.RegMem(0x8B, 8, Host.Rdi, Host.Rdi, o.EnginePrivate);
        e.RegMem(0x89, 8, Host.Rax, Host.Rdi, o.ExitFlags);
        e.RegMem(0x89, 8, Host.Value, Host.Rdi, o.ExitLink);
        Back(e, Host.Instructions, o.ExitInstructions);
        e.RegReg(0x89, 8, Host.Address, Host.Rax);
        e.RegReg(0x81, 8, 0, Host.Rsp);
        e.Int32(Host.FrameBytes);
        for (int i = s_calleeSaved.Length - 1; i >= 0; i--)
        {
            PushPop(e, 0x58, s_calleeSaved[i]);
        }

        e.Byte(0xC3);
    }

    private static void PushPop(Emitter e, int opcode, int register)
    {
        if (register >= 8)
        {
            e.Byte(0x41);
        }

        e.Byte(opcode | (register & 7));
    }

    /// <summary>From memory to the frame, through RCX.</summary>
    private static void Copy(Emitter e, int b, int offset, int slot)
    {
        e.RegMem(0x8B, 8, Host.Rcx, b, offset);
        e.RegMem(0x89, 8, Host.Rcx, Host.Rsp, slot);
    }

    /// <summary>From the frame to what RDI points to, through RCX.</summary>
    private static void Back(Emitter e, int slot, int offset)
    {
        e.RegMem(0x8B, 8, Host.Rcx, Host.Rsp, slot);
        e.RegMem(0x89, 8, Host.Rcx, Host.Rdi, offset);
    }
}
