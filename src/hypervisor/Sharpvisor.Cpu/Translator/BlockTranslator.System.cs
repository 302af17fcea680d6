// Instructions that kernels run often and that need no handler in their usual case: interrupt flag, SMAP's AC, SWAPGS, REP MOVS
// and REP STOS within a page, CMPXCHG16B, IDIV that cannot fault. Any other case is the interpreter's.
using Sharpvisor.Cpu.Decode;
using Sharpvisor.Cpu.System;

namespace Sharpvisor.Cpu.Translator;

internal sealed unsafe partial class BlockTranslator
{
    private bool EmitSystem(Op* op, in NativeForm f)
    {
        switch (f.Kind)
        {
            case NativeKind.Idiv:
                return EmitIdiv(op, f);
            case NativeKind.Cmpxchg16b:
                return EmitCmpxchg16b(op, f);
            case NativeKind.RepStos:
                return EmitRepStos(op, f);
            case NativeKind.RepMovs:
                return EmitRepMovs(op, f);
            case NativeKind.FromSegment:
                return EmitFromSegment(op, f);
            case NativeKind.Pushf:
                EmitPushf();
                return true;
            case NativeKind.Cli:
                EmitPrivileged(op);
                _e.RegMem(0x81, 8, 4, Host.Value, StateOffsets.Instance.RFlags);
                _e.Int32(~(int)RFlag.IF);
                return true;
            case NativeKind.Sti:
                return EmitSti(op);
            case NativeKind.Clac or NativeKind.Stac:
                EmitSetAc(op, set: f.Kind == NativeKind.Stac);
                return true;
            default:
                EmitSwapgs(op);
                return true;
        }
    }

    /// <summary>CPL 0, with the state in <see cref="Host.Value"/>.</summary>
    private void EmitPrivileged(Op* op)
    {
        SaveFlags();
        EmitStatePointer();
        _e.RegMem(0x83, 4, 7, Host.Value, StateOffsets.Instance.Cpl);
        _e.Byte(0);
        AddCold(Cold.Exit, _e.JumpIf(5), op);
        _flags = FlagsIn.Ax;
    }

    private void EmitStatePointer() => _e.RegMem(0x8B, 8, Host.Value, Host.Rsp, Host.State);

    /// <summary>
    /// Without an interrupt waiting, and with another instruction of the block behind it, the one-instruction shadow cannot be
    /// observed: events are looked at between blocks only.
    /// </summary>
    private bool EmitSti(Op* op)
    {
        if (((Block*)(op - op->HeaderDistance))->Ops <= op->HeaderDistance)
        {
            return false;
        }

        StateOffsets o = StateOffsets.Instance;
        EmitPrivileged(op);
        _e.RegMem(0x83, 4, 7, Host.Value, o.PendingEvents);
        _e.Byte(0);
        AddCold(Cold.Exit, _e.JumpIf(5), op);
        _e.RegMem(0x8B, 8, Host.Address, Host.Value, o.EnginePrivate);
        _e.RegMem(0x83, 4, 7, Host.Address, o.InterruptDeferred);
        _e.Byte(0);
        AddCold(Cold.Exit, _e.JumpIf(5), op);
        _e.RegMem(0x81, 8, 1, Host.Value, o.RFlags);
        _e.Int32((int)RFlag.IF);
        return true;
    }

    /// <summary>STAC, CLAC: the other set of the TLB.</summary>
    private void EmitSetAc(Op* op, bool set)
    {
        StateOffsets o = StateOffsets.Instance;
        SaveFlags();
        EmitStatePointer();
        _e.RegMem(0x8B, 8, Host.Address, Host.Value, o.EnginePrivate);
        _e.RegMem(0x83, 4, 7, Host.Address, o.AcSelectsTlb);
        _e.Byte(0);
        AddCold(Cold.Exit, _e.JumpIf(4), op);
        _flags = FlagsIn.Ax;
        _e.RegMem(0x81, 8, set ? 1 : 4, Host.Value, o.RFlags);
        _e.Int32(set ? (int)RFlag.AC : ~(int)RFlag.AC);
        _e.RegMem(0xC7, 4, 0, Host.Address, o.ContextStale);
        _e.Int32(1);
        _e.RegMem(0x8B, 8, Host.Value, Host.Address, set ? o.OpenTlb : o.ClosedTlb);
        _e.RegMem(0x89, 8, Host.Value, Host.Address, o.Tlb);
        if (HostFeatures.GsBase)
        {
            // WRGSBASE.
            _e.Byte(0xF3);
            _e.RegReg(0x0FAE, 8, 3, Host.Value);
        }
        else
        {
            _e.RegMem(0x89, 8, Host.Value, Host.Rsp, Host.Tlb);
        }
    }

    private void EmitSwapgs(Op* op)
    {
        StateOffsets o = StateOffsets.Instance;
        EmitPrivileged(op);
        _e.RegMem(0x8B, 8, Host.Address, Host.Value, o.KernelGsBase);
        _e.RegMem(0x89, 8, Host.Address, Host.Value, o.GsBase);
        _e.RegMem(0x87, 8, Host.Address, Host.Rsp, Host.GsBase);
        _e.RegMem(0x89, 8, Host.Address, Host.Value, o.KernelGsBase);
    }

    /// <summary>RFLAGS from the state, with the arithmetic flags as <see cref="Host.Rax"/> has them; RF and VM read as 0.</summary>
    private void EmitPushf()
    {
        const int FromAh = (int)(RFlag.SF | RFlag.ZF | RFlag.AF | RFlag.PF | RFlag.CF);
        EmitPushAddress();
        _e.RegMem(0x89, 8, Host.Rax, Host.Rsp, Host.Scratch);
        _e.RegReg(0x89, 4, Host.Rax, Host.Value);
        _e.RegReg(0xC1, 4, 5, Host.Value);
        _e.Byte(8);
        _e.RegReg(0x81, 4, 4, Host.Value);
        _e.Int32(FromAh);
        _e.RegByteReg(0x0FB6, 4, Host.Rax, Host.Rax);
        _e.RegReg(0xC1, 4, 4, Host.Rax);
        _e.Byte(11);
        _e.RegReg(0x09, 4, Host.Rax, Host.Value);
        _e.RegMem(0x8B, 8, Host.Rax, Host.Rsp, Host.State);
        _e.RegMem(0x8B, 8, Host.Rax, Host.Rax, StateOffsets.Instance.RFlags);
        _e.RegReg(0x81, 8, 4, Host.Rax);
        _e.Int32(~(int)(RFlag.Arithmetic | RFlag.RF | RFlag.VM));
        _e.RegReg(0x09, 8, Host.Value, Host.Rax);
        _e.RegReg(0x83, 8, 1, Host.Rax);
        _e.Byte(2);
        _e.RegMem(0x89, 8, Host.Rax, Host.Address, 0);
        _e.RegMem(0x8B, 8, Host.Rax, Host.Rsp, Host.Scratch);
        CommitRsp(-8);
    }

    private bool EmitFromSegment(Op* op, in NativeForm f)
    {
        int selector = StateOffsets.Instance.Selector + (op->Src * sizeof(SegmentRegister));
        if (InMemory(op))
        {
            if (!EmitAddress(op, 2, write: true))
            {
                return false;
            }

            EmitStatePointer();
            _e.RegMem(0x0FB7, 4, Host.Value, Host.Value, selector);
            _e.RegMem(0x89, 2, Host.Value, Host.Address, 0);
            return true;
        }

        EmitStatePointer();
        int target = f.Bytes == 2 ? Get(op->Dst, Host.Address) : Target(op->Dst, Host.Address);
        _e.RegMem(f.Bytes == 2 ? 0x8B : 0x0FB7, f.Bytes, target, Host.Value, selector);
        Put(op->Dst, target);
        return true;
    }

    private bool EmitCmpxchg16b(Op* op, in NativeForm f)
    {
        if (!EmitAddress(op, 16, write: true, aligned: true))
        {
            return false;
        }

        NeedFlags();
        _e.RegReg(0x89, 8, Host.GuestRax, Host.Rax);
        LockPrefix(op);
        _e.RegMem(f.Opcode, 8, f.Sub, Host.Address, 0);
        _e.RegReg(0x89, 8, Host.Rax, Host.GuestRax);
        FlagsWritten();
        return true;
    }

    /// <summary>A dividend that is the sign extension of RAX, by neither 0 nor -1, cannot overflow.</summary>
    private bool EmitIdiv(Op* op, in NativeForm f)
    {
        SaveFlags();
        if (InMemory(op))
        {
            if (!EmitAddress(op, f.Bytes, write: false))
            {
                return false;
            }

            _e.RegMem(0x8B, f.Bytes, Host.Value, Host.Address, 0);
        }
        else
        {
            _e.RegReg(0x89, f.Bytes, Get(op->Dst, Host.Value), Host.Value);
        }

        _e.RegReg(0x89, f.Bytes, Host.GuestRax, Host.Address);
        _e.RegReg(0xC1, f.Bytes, 7, Host.Address);
        _e.Byte((f.Bytes * 8) - 1);
        _e.RegReg(0x39, f.Bytes, Host.Address, Host.Rdx);
        AddCold(Cold.Exit, _e.JumpIf(5), op);
        _e.RegMem(0x8D, f.Bytes, Host.Address, Host.Value, 1);
        _e.RegReg(0x83, f.Bytes, 7, Host.Address);
        _e.Byte(1);
        AddCold(Cold.Exit, _e.JumpIf(6), op);
        _e.RegMem(0x89, 8, Host.Rax, Host.Rsp, Host.Scratch);
        _e.RegReg(0x89, 8, Host.GuestRax, Host.Rax);
        _e.RegReg(f.Opcode, f.Bytes, f.Sub, Host.Value);
        _e.RegReg(0x89, 8, Host.Rax, Host.GuestRax);
        _e.RegMem(0x8B, 8, Host.Rax, Host.Rsp, Host.Scratch);
        _flags = FlagsIn.Ax;
        return true;
    }

    private static bool IsPlainRep(Op* op) =>
        (op->Flags & (OpFlags.Rep | OpFlags.Repne)) != 0 && op->AddressBytes == 8 && op->Segment < (byte)Segment.Fs;

    private bool EmitRepStos(Op* op, in NativeForm f)
    {
        if (!IsPlainRep(op))
        {
            return false;
        }

        int shift = int.Log2(f.Bytes);
        int none = EmitRepStart(op, shift);
        _e.RegReg(0x89, 8, Host.Rdi, Host.Address);
        EmitTranslateRun(shift, write: true);
        _e.RegMem(0x89, 8, Host.Rdi, Host.Rsp, Host.Scratch2);
        _e.RegMem(0x89, 8, Host.Rax, Host.Rsp, Host.Scratch3);
        _e.RegReg(0x89, 8, Host.Rcx, Host.Value);
        _e.RegReg(0x89, 8, Host.Address, Host.Rdi);
        _e.RegReg(0x89, 8, Host.GuestRax, Host.Rax);
        EmitRep(f);
        _e.RegMem(0x8B, 8, Host.Rax, Host.Rsp, Host.Scratch3);
        _e.RegMem(0x8B, 8, Host.Rdi, Host.Rsp, Host.Scratch2);
        _e.RegMem(0x8D, 8, Host.Rdi, Host.Rdi, Host.Value, shift, 0);
        _e.Bind(none, _e.Position);
        return true;
    }

    private bool EmitRepMovs(Op* op, in NativeForm f)
    {
        if (!IsPlainRep(op))
        {
            return false;
        }

        int shift = int.Log2(f.Bytes);
        int none = EmitRepStart(op, shift);
        _e.RegReg(0x89, 8, Host.Rdi, Host.Address);
        EmitTranslateRun(shift, write: true);
        _e.RegMem(0x89, 8, Host.Address, Host.Rsp, Host.Scratch2);
        _e.RegReg(0x89, 8, Host.Rsi, Host.Address);
        EmitTranslateRun(shift, write: false);
        _e.RegMem(0x89, 8, Host.Rsi, Host.Rsp, Host.Scratch3);
        _e.RegMem(0x89, 8, Host.Rdi, Host.Rsp, Host.Scratch4);
        _e.RegReg(0x89, 8, Host.Rcx, Host.Value);
        _e.RegMem(0x8B, 8, Host.Rdi, Host.Rsp, Host.Scratch2);
        _e.RegReg(0x89, 8, Host.Address, Host.Rsi);
        EmitRep(f);
        _e.RegMem(0x8B, 8, Host.Rsi, Host.Rsp, Host.Scratch3);
        _e.RegMem(0x8B, 8, Host.Rdi, Host.Rsp, Host.Scratch4);
        _e.RegMem(0x8D, 8, Host.Rsi, Host.Rsi, Host.Value, shift, 0);
        _e.RegMem(0x8D, 8, Host.Rdi, Host.Rdi, Host.Value, shift, 0);
        _e.Bind(none, _e.Position);
        return true;
    }

    /// <summary>Forward, and no more than a page. The result: the jump for a count of 0.</summary>
    private int EmitRepStart(Op* op, int shift)
    {
        SaveFlags();
        _e.RegReg(0x85, 8, Host.Rcx, Host.Rcx);
        int none = _e.JumpIf(4);
        EmitStatePointer();
        _e.RegMem(0xF7, 4, 0, Host.Value, StateOffsets.Instance.RFlags);
        _e.Int32((int)RFlag.DF);
        AddCold(Cold.Exit, _e.JumpIf(5), op);
        _e.RegReg(0x81, 8, 7, Host.Rcx);
        _e.Int32(4096 >> shift);
        AddCold(Cold.Exit, _e.JumpIf(7), op);
        _flags = FlagsIn.Ax;
        return none;
    }

    /// <summary>As EmitTranslate for RCX elements, which must all lie in the page.</summary>
    private void EmitTranslateRun(int shift, bool write)
    {
        StateOffsets o = StateOffsets.Instance;
        EmitSlot(Host.Address, Host.Value);
        GsPrefix();
        _e.RegMem(0x33, 8, Host.Address, Host.Value, write ? o.WriteTag : o.ReadTag);
        _e.RegReg(0x81, 8, 7, Host.Address);
        _e.Int32(4095);
        AddCold(Cold.Exit, _e.JumpIf(7), _op);
        _e.RegMem(0x89, 8, Host.Address, Host.Rsp, Host.Scratch);
        _e.RegMem(0x8D, 8, Host.Address, Host.Address, Host.Rcx, shift, 0);
        _e.RegReg(0x81, 8, 7, Host.Address);
        _e.Int32(4096);
        AddCold(Cold.Exit, _e.JumpIf(7), _op);
        _e.RegMem(0x8B, 8, Host.Address, Host.Rsp, Host.Scratch);
        GsPrefix();
        _e.RegMem(0x03, 8, Host.Address, Host.Value, o.HostPage);
    }

    private void EmitRep(in NativeForm f)
    {
        // The runtime leaves DF clear (System V ABI).
        if (f.Bytes == 2)
        {
            _e.Byte(0x66);
        }

        _e.Byte(0xF3);
        if (f.Bytes == 8)
        {
            _e.Byte(0x48);
        }

        _e.Byte(f.Opcode);
    }
}
