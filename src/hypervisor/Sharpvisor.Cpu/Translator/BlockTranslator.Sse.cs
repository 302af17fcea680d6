// SSE to SSE4.2: guest vector registers stay in VpState, host XMM0 and XMM1 carry an instruction's operands. Floating point
// runs under the guest's MXCSR, which is loaded at the first such instruction after each entry (Intel SDM Vol. 1, 10.2.3).
using Sharpvisor.Cpu.Decode;

namespace Sharpvisor.Cpu.Translator;

internal sealed unsafe partial class BlockTranslator
{
    private const int LoadUnaligned = 0x0F10;
    private const int StoreUnaligned = 0x0F11;
    private const int AllMasked = 0x1F80;

    /// <summary>Since the last point where the interpreter may have changed CR0 or CR4, this block has looked at them.</summary>
    private bool _sseChecked;

    private bool EmitSse(Op* op, in NativeForm f, ref bool mayLeave)
    {
        if (InMemory(op) && !Addressable(op))
        {
            return false;
        }

        bool floating = f.Kind is NativeKind.SseFloat or NativeKind.SseCompare or NativeKind.SseFloatFromGpr or NativeKind.SseFloatToGpr;
        mayLeave |= floating || !_sseChecked;
        EmitSseCheck();
        if (InMemory(op))
        {
            EmitSseAddress(op, f);
        }

        if (floating)
        {
            EmitLoadMxcsr();
        }

        switch (f.Kind)
        {
            case NativeKind.SseBinary or NativeKind.SseFloat:
                EmitSseOperands(op, f);
                EmitXmm(StoreUnaligned, 0, op->Dst);
                break;
            case NativeKind.SseTest or NativeKind.SseCompare or NativeKind.SseStringIndex:
                EmitSseOperands(op, f);
                FlagsWritten();
                break;
            case NativeKind.SseShiftImm:
                EmitStatePointer();
                EmitXmm(LoadUnaligned, 0, op->Dst);
                PrefixIf(f.Prefix);
                _e.RegReg(f.Opcode, 4, f.Sub, 0);
                _e.Byte((int)op->Immediate);
                EmitXmm(StoreUnaligned, 0, op->Dst);
                break;
            case NativeKind.SseStore:
                EmitSseStore(op, f);
                break;
            default:
                EmitSseGpr(op, f);
                break;
        }

        return true;
    }

    /// <summary>CR0.EM, CR0.TS, CR4.OSFXSR (Intel SDM Vol. 3A, 14.1): the interpreter raises what is due.</summary>
    private void EmitSseCheck()
    {
        if (_sseChecked)
        {
            return;
        }

        StateOffsets o = StateOffsets.Instance;
        SaveFlags();
        EmitStatePointer();
        _e.RegMem(0xF7, 4, 0, Host.Value, o.Cr0);
        _e.Int32(0xC);
        AddCold(Cold.Exit, _e.JumpIf(5), _op);
        _e.RegMem(0xF7, 4, 0, Host.Value, o.Cr4);
        _e.Int32(0x200);
        AddCold(Cold.Exit, _e.JumpIf(4), _op);
        _flags = FlagsIn.Ax;
        _sseChecked = true;
    }

    private void EmitSseAddress(Op* op, in NativeForm f)
    {
        int bytes = f.Kind == NativeKind.SseFloatToGpr ? (f.Prefix == 0xF3 ? 4 : 8) : f.Bytes == 0 ? 16 : f.Bytes;
        _ = EmitAddress(op, bytes, f.Kind is NativeKind.SseStore or NativeKind.SseToRm);
        if (f.Bytes == 16)
        {
            _e.RegReg(0xF6, 1, 0, Host.Address);
            _e.Byte(15);
            AddCold(Cold.Exit, _e.JumpIf(5), op);
        }
    }

    private void EmitLoadMxcsr()
    {
        SaveFlags();
        _e.RegMem(0x83, 4, 7, Host.Rsp, Host.FpLoaded);
        _e.Byte(0);
        AddCold(Cold.LoadMxcsr, _e.JumpIf(4), _op);
        _flags = FlagsIn.Ax;
    }

    /// <summary>The out-of-line part. With an exception unmasked the instruction is the interpreter's.</summary>
    private void EmitLoadMxcsrStub(Op* op, int site)
    {
        StateOffsets o = StateOffsets.Instance;
        EmitStatePointer();
        _e.RegMem(0x8B, 4, Host.Value, Host.Value, o.Mxcsr);
        _e.RegReg(0x81, 4, 4, Host.Value);
        _e.Int32(AllMasked);
        _e.RegReg(0x81, 4, 7, Host.Value);
        _e.Int32(AllMasked);
        AddCold(Cold.Exit, _e.JumpIf(5), op);
        _e.RegMem(0x0FAE, 4, 3, Host.Rsp, Host.HostMxcsr);
        EmitStatePointer();
        _e.RegMem(0x0FAE, 4, 2, Host.Value, o.Mxcsr);
        _e.RegMem(0xC7, 4, 0, Host.Rsp, Host.FpLoaded);
        _e.Int32(1);
        _e.Jump(site + 4);
    }

    private void EmitStatePointer() => _e.RegMem(0x8B, 8, Host.Value, Host.Rsp, Host.State);

    /// <summary>Between a host and a guest vector register; the state's address is in <see cref="Host.Value"/>.</summary>
    private void EmitXmm(int opcode, int host, int guest) =>
        _e.RegMem(opcode, 4, host, Host.Value, StateOffsets.Instance.Vector + (guest * 32));

    /// <summary>The instruction itself on XMM0 and its source; leaves the state's address in <see cref="Host.Value"/>.</summary>
    private void EmitSseOperands(Op* op, in NativeForm f)
    {
        EmitStatePointer();
        EmitXmm(LoadUnaligned, 0, op->Dst);
        if (InMemory(op))
        {
            EmitSseMemory(f, 0);
        }
        else
        {
            EmitXmm(LoadUnaligned, 1, op->Src);
            PrefixIf(f.Prefix);
            _e.RegReg(f.Opcode, 4, 0, 1);
        }

        if (f.Immediate)
        {
            _e.Byte((int)op->Immediate);
        }
    }

    private void EmitSseMemory(in NativeForm f, int reg)
    {
        PrefixIf(f.Prefix);
        _e.RegMem(f.Opcode, 4, reg, Host.Address, 0);
    }

    private void EmitSseStore(Op* op, in NativeForm f)
    {
        EmitStatePointer();
        EmitXmm(LoadUnaligned, 0, op->Src);
        if (InMemory(op))
        {
            EmitSseMemory(f, 0);
            return;
        }

        EmitXmm(LoadUnaligned, 1, op->Dst);
        PrefixIf(f.Prefix);
        _e.RegReg(f.Opcode, 4, 0, 1);
        EmitXmm(StoreUnaligned, 1, op->Dst);
    }

    /// <summary>Between general and vector registers.</summary>
    private void EmitSseGpr(Op* op, in NativeForm f)
    {
        bool toXmm = f.Kind is NativeKind.SseFromGpr or NativeKind.SseFloatFromGpr;
        EmitStatePointer();
        if (toXmm || !(InMemory(op) && f.Kind == NativeKind.SseFloatToGpr))
        {
            EmitXmm(LoadUnaligned, 0, toXmm ? op->Dst : op->Src);
        }

        if (toXmm)
        {
            int source = InMemory(op) ? 0 : Get(op->Src, Host.Value);
            PrefixIf(f.Prefix);
            EmitSseRm(f, 0, source, InMemory(op));
            EmitStatePointer();
            EmitXmm(StoreUnaligned, 0, op->Dst);
        }
        else if (f.Kind == NativeKind.SseToRm)
        {
            int target = InMemory(op) ? 0 : Target(op->Dst, Host.Value);
            PrefixIf(f.Prefix);
            EmitSseRm(f, 0, target, InMemory(op));
            PutIf(!InMemory(op), op->Dst, target);
        }
        else
        {
            int target = Target(op->Dst, Host.Value);
            PrefixIf(f.Prefix);
            EmitSseRm(f, target, 0, InMemory(op));
            if (f.Immediate)
            {
                _e.Byte((int)op->Immediate);
            }

            Put(op->Dst, target);
        }
    }

    private void EmitSseRm(in NativeForm f, int reg, int rm, bool memory)
    {
        if (memory)
        {
            _e.RegMem(f.Opcode, f.Bytes, reg, Host.Address, 0);
        }
        else
        {
            _e.RegReg(f.Opcode, f.Bytes, reg, rm);
        }
    }
}
