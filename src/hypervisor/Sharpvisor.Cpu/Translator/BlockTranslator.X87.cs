// x87 runs on the host's x87 while the guest masks all exceptions (FloatingPointState): an instruction is then itself, with its
// memory operand translated. FIP is stored where control may leave the block; FDP and FOP only an unmasked exception changes.
using Sharpvisor.Cpu.Decode;

namespace Sharpvisor.Cpu.Translator;

internal sealed unsafe partial class BlockTranslator
{
    private const int ExceptionMasks = 0x3F;

    /// <summary>On every way to here, this block has made sure that the guest's x87 state is loaded.</summary>
    private bool _x87Ready;

    /// <summary>The last x87 instruction whose address is not in FIP yet.</summary>
    private Op* _fip;

    private bool EmitX87(Op* op, in NativeForm f, ref bool mayLeave)
    {
        if (InMemory(op) && !Addressable(op))
        {
            return false;
        }

        mayLeave |= !_x87Ready;
        EmitX87Ready();
        switch (f.Kind)
        {
            case NativeKind.X87Load or NativeKind.X87Store or NativeKind.X87StoreControl:
                _ = EmitAddress(op, f.Bytes, write: f.Kind != NativeKind.X87Load);
                _e.RegMem(f.Opcode, 4, f.Sub, Host.Address, 0);
                break;
            case NativeKind.X87LoadControl:
                EmitLoadControl(op);
                break;
            case NativeKind.X87StatusToAx:
                // FNSTSW m16, then into AX, which is not where the guest's is.
                _e.RegMem(0xDD, 4, 7, Host.Rsp, Host.Scratch);
                _e.RegMem(0x8B, 2, Host.GuestRax, Host.Rsp, Host.Scratch);
                break;
            case NativeKind.X87Move:
                NeedFlags();
                EmitX87Itself(op);
                break;
            case NativeKind.X87Compare:
                EmitX87Itself(op);
                FlagsWritten();
                break;
            case NativeKind.X87Register:
                EmitX87Itself(op);
                break;
            default:
                break;
        }

        if (f.Kind is not (NativeKind.X87StoreControl or NativeKind.X87LoadControl or NativeKind.X87StatusToAx or NativeKind.X87Wait))
        {
            _fip = op;
        }

        return true;
    }

    private void EmitX87Ready()
    {
        if (!_x87Ready)
        {
            SaveFlags();
            _e.RegMem(0x83, 4, 7, Host.Rsp, Host.X87Loaded);
            _e.Byte(0);
            AddCold(Cold.LoadX87, _e.JumpIf(4), _op);
            _flags = FlagsIn.Ax;
            _x87Ready = true;
        }
    }

    /// <summary>FLDCW of a private copy, and only if it keeps all exceptions masked.</summary>
    private void EmitLoadControl(Op* op)
    {
        _ = EmitAddress(op, 2, write: false);
        _e.RegMem(0x0FB7, 4, Host.Value, Host.Address, 0);
        _e.RegMem(0x89, 8, Host.Value, Host.Rsp, Host.Scratch);
        _e.RegReg(0x83, 4, 4, Host.Value);
        _e.Byte(ExceptionMasks);
        _e.RegReg(0x83, 4, 7, Host.Value);
        _e.Byte(ExceptionMasks);
        AddCold(Cold.Exit, _e.JumpIf(5), op);
        _e.RegMem(0xD9, 4, 5, Host.Rsp, Host.Scratch);
        _flags = FlagsIn.Ax;
    }

    // No operand of a register form is a general register: its two bytes are the same on the host.
    private void EmitX87Itself(Op* op)
    {
        var block = (Block*)(op - op->HeaderDistance);
        byte* raw = block->Raw + (op->PageOffset - Block.First(block)->PageOffset) + op->Length - 2;
        _e.Bytes(new ReadOnlySpan<byte>(raw, 2));
    }

    private void EmitFip()
    {
        if (_fip != null)
        {
            _e.RegMem(0x8B, 8, Host.Value, Host.Rsp, Host.PageBase);
            _e.RegMem(0x8D, 8, Host.Value, Host.Value, _fip->PageOffset);
            _e.RegMem(0x8B, 8, Host.Address, Host.Rsp, Host.State);
            _e.RegMem(0x89, 8, Host.Value, Host.Address, StateOffsets.Instance.Fip);
            _fip = null;
        }
    }
}
