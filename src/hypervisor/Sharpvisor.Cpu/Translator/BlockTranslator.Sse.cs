// SSE to SSE4.2: guest vector registers are the host's of the same number, loaded with the guest's MXCSR at the first such
// instruction after an entry (FloatingPointState). An instruction is then itself, with its memory operand translated.
using Sharpvisor.Cpu.Decode;

namespace Sharpvisor.Cpu.Translator;

internal sealed unsafe partial class BlockTranslator
{
    /// <summary>On every way to here, this block has made sure that the guest's vector registers are loaded.</summary>
    private bool _vectorReady;

    private bool EmitSse(Op* op, in NativeForm f, ref bool mayLeave)
    {
        bool memory = InMemory(op);
        if (memory && !Addressable(op))
        {
            return false;
        }

        mayLeave |= !_vectorReady;
        EmitVectorReady();
        if (memory)
        {
            EmitSseAddress(op, f);
        }

        switch (f.Kind)
        {
            case NativeKind.SseShiftImm:
                PrefixIf(f.Prefix);
                _e.RegReg(f.Opcode, 4, f.Sub, op->Dst);
                break;
            case NativeKind.SseStore:
                EmitSseRm(f, 4, op->Src, op->Dst, memory);
                break;
            case NativeKind.SseFromGpr or NativeKind.SseFloatFromGpr:
                EmitSseRm(f, f.Bytes, op->Dst, memory ? 0 : Get(op->Src, Host.Value), memory);
                break;
            case NativeKind.SseToRm:
                int to = memory ? 0 : Target(op->Dst, Host.Value);
                EmitSseRm(f, f.Bytes, op->Src, to, memory);
                ImmediateIf(op, f);
                PutIf(!memory, op->Dst, to);
                return true;
            case NativeKind.SseToGpr or NativeKind.SseFloatToGpr:
                int target = Target(op->Dst, Host.Value);
                EmitSseRm(f, f.Bytes, target, op->Src, memory);
                ImmediateIf(op, f);
                Put(op->Dst, target);
                return true;
            default:
                EmitSseRm(f, 4, op->Dst, op->Src, memory);
                break;
        }

        ImmediateIf(op, f);
        if (f.Kind is NativeKind.SseTest or NativeKind.SseCompare or NativeKind.SseStringIndex)
        {
            FlagsWritten();
        }

        return true;
    }

    private void EmitVectorReady()
    {
        if (!_vectorReady)
        {
            SaveFlags();
            _e.RegMem(0x83, 4, 7, Host.Rsp, Host.VectorLoaded);
            _e.Byte(0);
            AddCold(Cold.LoadVector, _e.JumpIf(4), _op);
            _flags = FlagsIn.Ax;
            _vectorReady = true;
        }
    }

    private void EmitSseAddress(Op* op, in NativeForm f)
    {
        int bytes = f.Kind == NativeKind.SseFloatToGpr ? (f.Prefix == 0xF3 ? 4 : 8) : f.Bytes == 0 ? 16 : f.Bytes;
        _ = EmitAddress(op, bytes, f.Kind is NativeKind.SseStore or NativeKind.SseToRm, aligned: f.Bytes == 16);
    }

    private void EmitSseRm(in NativeForm f, int bytes, int reg, int rm, bool memory)
    {
        PrefixIf(f.Prefix);
        if (memory)
        {
            _e.RegMem(f.Opcode, bytes, reg, Host.Address, 0);
        }
        else
        {
            _e.RegReg(f.Opcode, bytes, reg, rm);
        }
    }

    private void ImmediateIf(Op* op, in NativeForm f)
    {
        if (f.Immediate || f.Kind == NativeKind.SseShiftImm)
        {
            _e.Byte((int)op->Immediate);
        }
    }
}
