// Integer instructions. Each Emit… returns false before anything is lost when it cannot do a form.
using Sharpvisor.Cpu.Decode;

namespace Sharpvisor.Cpu.Translator;

internal sealed unsafe partial class BlockTranslator
{
    private const int Adc = 2;
    private const int Sbb = 3;
    private const int Compare = 7;

    /// <param name="mayLeave">Set when the interpreter may come back behind the op.</param>
    private bool EmitOp(Op* op, in NativeForm f, ref bool mayLeave)
    {
        if ((op->Flags & (OpFlags.HighDst | OpFlags.HighSrc)) != 0)
        {
            return !InMemory(op) && EmitHighByte(op, f);
        }

        switch (f.Kind)
        {
            case NativeKind.Nop:
                return true;
            case NativeKind.Jcc:
                mayLeave = false;
                return EmitJcc(op, f.Sub);
            case NativeKind.Jmp:
                return EmitJmp(op);
            case NativeKind.Call:
                return EmitCall(op);
            case NativeKind.JmpIndirect:
                return EmitJmpIndirect(op);
            case NativeKind.CallIndirect:
                return EmitCallIndirect(op);
            case NativeKind.Ret:
                return EmitRet(op);
            case NativeKind.PushReg or NativeKind.PushImm or NativeKind.PushRm or NativeKind.PopReg or NativeKind.Leave:
                mayLeave = true;
                return EmitStack(op, f);
            case NativeKind.Div:
                mayLeave = true;
                return EmitDiv(op, f);
            case NativeKind.None:
                return false;
            case >= NativeKind.SseBinary:
                return EmitSse(op, f, ref mayLeave);
            case >= NativeKind.Idiv and <= NativeKind.Swapgs:
                mayLeave = true;
                return EmitSystem(op, f);
            case >= NativeKind.X87Load:
                return EmitX87(op, f, ref mayLeave);
            default:
                return EmitComputation(op, f);
        }
    }

    private bool EmitStack(Op* op, in NativeForm f) => f.Kind switch
    {
        NativeKind.PushReg => EmitPushReg(op),
        NativeKind.PushImm => EmitPushImm(op),
        NativeKind.PushRm => EmitPushRm(op),
        NativeKind.PopReg => EmitPopReg(op),
        _ => EmitLeave(),
    };

    private bool EmitComputation(Op* op, in NativeForm f) => f.Kind switch
    {
        NativeKind.AluRmReg => EmitAluRmReg(op, f),
        NativeKind.AluRegRm => EmitAluRegRm(op, f),
        NativeKind.AluRmImm => EmitAluRmImm(op, f),
        NativeKind.TestRmReg => EmitAluRmReg(op, new NativeForm(f.Kind, f.Bytes, f.Opcode, Compare)),
        NativeKind.TestRmImm => EmitTestRmImm(op, f),
        NativeKind.MovRmReg => EmitMovRmReg(op, f),
        NativeKind.MovRegRm => EmitMovRegRm(op, f),
        NativeKind.MovRegImm => EmitMovRegImm(op, f),
        NativeKind.MovRmImm => EmitMovRmImm(op, f),
        NativeKind.Extend => EmitExtend(op, f),
        NativeKind.Lea => EmitLea(op, f),
        NativeKind.IncDec => EmitChange(op, f, readsFlags: true, writesFlags: true, -1),
        NativeKind.NegNot => EmitChange(op, f, readsFlags: false, writesFlags: f.Sub == 3, -1),
        NativeKind.ShiftImm => EmitShiftImm(op, f),
        NativeKind.ShiftOne => EmitChange(op, f, readsFlags: f.Sub < 4, writesFlags: true, -1),
        NativeKind.ShiftCl => EmitChange(op, f, readsFlags: true, writesFlags: true, -1),
        NativeKind.DoubleShiftImm => EmitDoubleShift(op, f),
        NativeKind.ImulRegRm => EmitRegRm(op, f, prefix: 0, keepsDestination: true),
        NativeKind.Popcnt => EmitRegRm(op, f, prefix: 0xF3, keepsDestination: false),
        NativeKind.BitScan => EmitRegRm(op, f, prefix: 0, keepsDestination: true),
        NativeKind.ImulRegRmImm => EmitImul3(op, f),
        NativeKind.Mul => EmitMul(op, f),
        NativeKind.SetCc => EmitSetCc(op, f),
        NativeKind.CmovCc => EmitCmov(op, f),
        NativeKind.Xchg => EmitXchg(op, f),
        NativeKind.Xadd => EmitXadd(op, f),
        NativeKind.Cmpxchg => EmitCmpxchg(op, f),
        NativeKind.Bswap => EmitBswap(op, f),
        NativeKind.BitTestImm => EmitBitTestImm(op, f),
        NativeKind.BitTestReg => EmitBitTestReg(op, f),
        NativeKind.SignExtendRax => EmitSignExtendRax(f),
        NativeKind.SignRdx => EmitSignRdx(f),
        _ => false,
    };

    private static bool InMemory(Op* op) => (op->Flags & OpFlags.Memory) != 0;

    private void LockPrefix(Op* op)
    {
        if ((op->Flags & OpFlags.Lock) != 0)
        {
            _e.Byte(0xF0);
        }
    }

    private bool EmitAluRmReg(Op* op, in NativeForm f)
    {
        bool writes = f.Sub != Compare;
        bool carry = f.Sub is Adc or Sbb;
        if (InMemory(op))
        {
            if (!EmitAddress(op, f.Bytes, writes))
            {
                return false;
            }

            int source = Get(op->Src, Host.Value);
            NeedFlagsIf(carry);
            LockPrefix(op);
            _e.RegMem(f.Opcode, f.Bytes, source, Host.Address, 0);
        }
        else
        {
            NeedFlagsIf(carry);
            int source = Get(op->Src, Host.Value);
            int target = Get(op->Dst, Host.Address);
            _e.RegReg(f.Opcode, f.Bytes, source, target);
            PutIf(writes, op->Dst, target);
        }

        FlagsWritten();
        return true;
    }

    private bool EmitAluRegRm(Op* op, in NativeForm f)
    {
        bool writes = f.Sub != Compare;
        bool carry = f.Sub is Adc or Sbb;
        int target;
        if (InMemory(op))
        {
            if (!EmitAddress(op, f.Bytes, write: false))
            {
                return false;
            }

            target = Get(op->Dst, Host.Value);
            NeedFlagsIf(carry);
            _e.RegMem(f.Opcode, f.Bytes, target, Host.Address, 0);
        }
        else
        {
            NeedFlagsIf(carry);
            int source = Get(op->Src, Host.Value);
            target = Get(op->Dst, Host.Address);
            _e.RegReg(f.Opcode, f.Bytes, target, source);
        }

        PutIf(writes, op->Dst, target);
        FlagsWritten();
        return true;
    }

    private bool EmitAluRmImm(Op* op, in NativeForm f)
    {
        bool writes = f.Sub != Compare;
        bool carry = f.Sub is Adc or Sbb;
        long immediate = op->Immediate;
        bool small = f.Bytes > 1 && immediate == (sbyte)immediate;
        int opcode = f.Bytes == 1 ? 0x80 : small ? 0x83 : 0x81;
        int immediateBytes = small ? 1 : f.Bytes;
        if (InMemory(op))
        {
            if (!EmitAddress(op, f.Bytes, writes))
            {
                return false;
            }

            NeedFlagsIf(carry);
            LockPrefix(op);
            _e.RegMem(opcode, f.Bytes, f.Sub, Host.Address, 0);
            _e.Immediate(immediateBytes, immediate);
        }
        else
        {
            NeedFlagsIf(carry);
            int target = Get(op->Dst, Host.Value);
            _e.RegReg(opcode, f.Bytes, f.Sub, target);
            _e.Immediate(immediateBytes, immediate);
            PutIf(writes, op->Dst, target);
        }

        FlagsWritten();
        return true;
    }

    /// <summary>AH, CH, DH, BH, which no instruction with a REX prefix can name: through memory. The common forms only.</summary>
    private bool EmitHighByte(Op* op, in NativeForm f)
    {
        if (f.Kind is NativeKind.AluRmImm or NativeKind.TestRmImm)
        {
            bool test = f.Kind == NativeKind.TestRmImm;
            int target = Host.Of(op->Dst - 4);
            NeedFlagsIf(!test && f.Sub is Adc or Sbb);
            _e.RegMem(0x89, 8, target, Host.Rsp, Host.Scratch);
            _e.RegMem(test ? 0xF6 : 0x80, 1, test ? 0 : f.Sub, Host.Rsp, Host.Scratch + 1);
            _e.Byte((int)op->Immediate);
            if (!test && f.Sub != Compare)
            {
                _e.RegMem(0x8B, 8, target, Host.Rsp, Host.Scratch);
            }

            FlagsWritten();
            return true;
        }

        if (f.Kind == NativeKind.Extend && f.Bytes >= 4)
        {
            int target = Target(op->Dst, Host.Value);
            _e.RegMem(0x89, 8, Host.Of(op->Src - 4), Host.Rsp, Host.Scratch);
            _e.RegMem(f.Opcode, f.Bytes, target, Host.Rsp, Host.Scratch + 1);
            Put(op->Dst, target);
            return true;
        }

        return false;
    }

    private bool EmitTestRmImm(Op* op, in NativeForm f)
    {
        if (InMemory(op))
        {
            if (!EmitAddress(op, f.Bytes, write: false))
            {
                return false;
            }

            _e.RegMem(f.Opcode, f.Bytes, 0, Host.Address, 0);
        }
        else
        {
            _e.RegReg(f.Opcode, f.Bytes, 0, Get(op->Dst, Host.Value));
        }

        _e.Immediate(f.Bytes, op->Immediate);
        FlagsWritten();
        return true;
    }

    private bool EmitMovRmReg(Op* op, in NativeForm f)
    {
        if (InMemory(op))
        {
            if (!EmitAddress(op, f.Bytes, write: true))
            {
                return false;
            }

            _e.RegMem(f.Opcode, f.Bytes, Get(op->Src, Host.Value), Host.Address, 0);
            return true;
        }

        EmitMovReg(op, f.Bytes);
        return true;
    }

    private bool EmitMovRegRm(Op* op, in NativeForm f)
    {
        if (!InMemory(op))
        {
            EmitMovReg(op, f.Bytes);
            return true;
        }

        if (!EmitAddress(op, f.Bytes, write: false))
        {
            return false;
        }

        int target = f.Bytes < 4 ? Get(op->Dst, Host.Value) : Target(op->Dst, Host.Value);
        _e.RegMem(f.Opcode, f.Bytes, target, Host.Address, 0);
        Put(op->Dst, target);
        return true;
    }

    private void EmitMovReg(Op* op, int bytes)
    {
        int source = Get(op->Src, Host.Value);
        int target = bytes < 4 ? Get(op->Dst, Host.Address) : Target(op->Dst, Host.Address);
        _e.RegReg(bytes == 1 ? 0x88 : 0x89, bytes, source, target);
        Put(op->Dst, target);
    }

    private bool EmitMovRegImm(Op* op, in NativeForm f)
    {
        if (f.Bytes >= 4)
        {
            int whole = Target(op->Dst, Host.Value);
            _e.MovImmediate(whole, f.Bytes == 4 ? (uint)op->Immediate : (ulong)op->Immediate);
            Put(op->Dst, whole);
            return true;
        }

        int target = Get(op->Dst, Host.Value);
        _e.RegReg(f.Bytes == 1 ? 0xC6 : 0xC7, f.Bytes, 0, target);
        _e.Immediate(f.Bytes, op->Immediate);
        Put(op->Dst, target);
        return true;
    }

    private bool EmitMovRmImm(Op* op, in NativeForm f)
    {
        if (!InMemory(op))
        {
            return EmitMovRegImm(op, f);
        }

        if (!EmitAddress(op, f.Bytes, write: true))
        {
            return false;
        }

        _e.RegMem(f.Opcode, f.Bytes, 0, Host.Address, 0);
        _e.Immediate(f.Bytes, op->Immediate);
        return true;
    }

    private bool EmitExtend(Op* op, in NativeForm f)
    {
        int target;
        if (InMemory(op))
        {
            if (!EmitAddress(op, f.Sub, write: false))
            {
                return false;
            }

            target = f.Bytes < 4 ? Get(op->Dst, Host.Value) : Target(op->Dst, Host.Value);
            _e.RegMem(f.Opcode, f.Bytes, target, Host.Address, 0);
        }
        else
        {
            int source = Get(op->Src, Host.Value);
            target = f.Bytes < 4 ? Get(op->Dst, Host.Address) : Target(op->Dst, Host.Address);
            _e.RegByteReg(f.Opcode, f.Bytes, target, source);
        }

        Put(op->Dst, target);
        return true;
    }

    private bool EmitLea(Op* op, in NativeForm f)
    {
        if (op->AddressBytes != 8 || op->Displacement != (int)op->Displacement)
        {
            return false;
        }

        int target = Target(op->Dst, Host.Address);
        EmitEffective(op, target);
        if (f.Bytes == 4)
        {
            _e.RegReg(0x89, 4, target, target);
        }

        Put(op->Dst, target);
        return true;
    }

    /// <summary>One operand, read and written; an immediate byte follows unless it is -1.</summary>
    private bool EmitChange(Op* op, in NativeForm f, bool readsFlags, bool writesFlags, int immediate)
    {
        if (InMemory(op))
        {
            if (!EmitAddress(op, f.Bytes, write: true))
            {
                return false;
            }

            NeedFlagsIf(readsFlags);
            LockPrefix(op);
            _e.RegMem(f.Opcode, f.Bytes, f.Sub, Host.Address, 0);
            ImmediateByteIf(immediate);
        }
        else
        {
            NeedFlagsIf(readsFlags);
            int target = Get(op->Dst, Host.Value);
            _e.RegReg(f.Opcode, f.Bytes, f.Sub, target);
            ImmediateByteIf(immediate);
            Put(op->Dst, target);
        }

        if (writesFlags)
        {
            FlagsWritten();
        }

        return true;
    }

    /// <summary>A count of 0 changes nothing but is rare; rotates change CF and OF only.</summary>
    private bool EmitShiftImm(Op* op, in NativeForm f)
    {
        int count = (int)op->Immediate & (f.Bytes == 8 ? 63 : 31);
        return count != 0 && EmitChange(op, f, readsFlags: f.Sub < 4, writesFlags: true, count);
    }

    private bool EmitDoubleShift(Op* op, in NativeForm f)
    {
        int count = (int)op->Immediate & (f.Bytes == 8 ? 63 : 31);
        if (count == 0 || InMemory(op))
        {
            return false;
        }

        int source = Get(op->Src, Host.Value);
        int target = Get(op->Dst, Host.Address);
        _e.RegReg(f.Opcode, f.Bytes, source, target);
        _e.Byte(count);
        Put(op->Dst, target);
        FlagsWritten();
        return true;
    }

    /// <summary>Register from register or memory, flags written.</summary>
    private bool EmitRegRm(Op* op, in NativeForm f, int prefix, bool keepsDestination)
    {
        int target;
        if (InMemory(op))
        {
            if (!EmitAddress(op, f.Bytes, write: false))
            {
                return false;
            }

            target = keepsDestination ? Get(op->Dst, Host.Value) : Target(op->Dst, Host.Value);
            PrefixIf(prefix);
            _e.RegMem(f.Opcode, f.Bytes, target, Host.Address, 0);
        }
        else
        {
            int source = Get(op->Src, Host.Value);
            target = keepsDestination ? Get(op->Dst, Host.Address) : Target(op->Dst, Host.Address);
            PrefixIf(prefix);
            _e.RegReg(f.Opcode, f.Bytes, target, source);
        }

        Put(op->Dst, target);
        FlagsWritten();
        return true;
    }

    private bool EmitImul3(Op* op, in NativeForm f)
    {
        int target;
        if (InMemory(op))
        {
            if (!EmitAddress(op, f.Bytes, write: false))
            {
                return false;
            }

            target = f.Bytes < 4 ? Get(op->Dst, Host.Value) : Target(op->Dst, Host.Value);
            _e.RegMem(f.Opcode, f.Bytes, target, Host.Address, 0);
        }
        else
        {
            int source = Get(op->Src, Host.Value);
            target = f.Bytes < 4 ? Get(op->Dst, Host.Address) : Target(op->Dst, Host.Address);
            _e.RegReg(f.Opcode, f.Bytes, target, source);
        }

        _e.Immediate(f.Bytes, op->Immediate);
        Put(op->Dst, target);
        FlagsWritten();
        return true;
    }

    /// <summary>All flags are written, so AX is free for the implicit operand.</summary>
    private bool EmitMul(Op* op, in NativeForm f)
    {
        if (InMemory(op))
        {
            if (!EmitAddress(op, f.Bytes, write: false))
            {
                return false;
            }

            _e.RegReg(0x89, 8, Host.GuestRax, Host.Rax);
            _e.RegMem(f.Opcode, f.Bytes, f.Sub, Host.Address, 0);
        }
        else
        {
            int source = Get(op->Dst, Host.Value);
            _e.RegReg(0x89, 8, Host.GuestRax, Host.Rax);
            _e.RegReg(f.Opcode, f.Bytes, f.Sub, source);
        }

        _e.RegReg(0x89, 8, Host.Rax, Host.GuestRax);
        FlagsWritten();
        return true;
    }

    /// <summary>DIV that cannot fault: the high half is below the divisor. Anything else is the interpreter's.</summary>
    private bool EmitDiv(Op* op, in NativeForm f)
    {
        SaveFlags();
        int divisor = Host.Value;
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
            divisor = Get(op->Dst, Host.Value);
        }

        _e.RegReg(0x39, f.Bytes, divisor, Host.Rdx);
        AddCold(Cold.Exit, _e.JumpIf(3), op);
        _e.RegMem(0x89, 8, Host.Rax, Host.Rsp, Host.Scratch);
        _e.RegReg(0x89, 8, Host.GuestRax, Host.Rax);
        _e.RegReg(f.Opcode, f.Bytes, f.Sub, divisor);
        _e.RegReg(0x89, 8, Host.Rax, Host.GuestRax);
        _e.RegMem(0x8B, 8, Host.Rax, Host.Rsp, Host.Scratch);
        _flags = FlagsIn.Ax;
        return true;
    }

    private bool EmitSetCc(Op* op, in NativeForm f)
    {
        if (InMemory(op))
        {
            if (!EmitAddress(op, 1, write: true))
            {
                return false;
            }

            NeedFlags();
            _e.RegMem(f.Opcode, 1, 0, Host.Address, 0);
            return true;
        }

        NeedFlags();
        int target = Get(op->Dst, Host.Value);
        _e.RegReg(f.Opcode, 1, 0, target);
        Put(op->Dst, target);
        return true;
    }

    private bool EmitCmov(Op* op, in NativeForm f)
    {
        int target;
        if (InMemory(op))
        {
            if (!EmitAddress(op, f.Bytes, write: false))
            {
                return false;
            }

            NeedFlags();
            target = Get(op->Dst, Host.Value);
            _e.RegMem(f.Opcode, f.Bytes, target, Host.Address, 0);
        }
        else
        {
            NeedFlags();
            int source = Get(op->Src, Host.Value);
            target = Get(op->Dst, Host.Address);
            _e.RegReg(f.Opcode, f.Bytes, target, source);
        }

        Put(op->Dst, target);
        return true;
    }

    private bool EmitXchg(Op* op, in NativeForm f)
    {
        if (InMemory(op))
        {
            if (!EmitAddress(op, f.Bytes, write: true))
            {
                return false;
            }

            int register = Get(op->Src, Host.Value);
            _e.RegMem(f.Opcode, f.Bytes, register, Host.Address, 0);
            Put(op->Src, register);
            return true;
        }

        int a = Get(op->Src, Host.Value);
        int b = Get(op->Dst, Host.Address);
        _e.RegReg(f.Opcode, f.Bytes, a, b);
        Put(op->Src, a);
        Put(op->Dst, b);
        return true;
    }

    private bool EmitXadd(Op* op, in NativeForm f)
    {
        if (!InMemory(op) || !EmitAddress(op, f.Bytes, write: true))
        {
            return false;
        }

        int register = Get(op->Src, Host.Value);
        LockPrefix(op);
        _e.RegMem(f.Opcode, f.Bytes, register, Host.Address, 0);
        Put(op->Src, register);
        FlagsWritten();
        return true;
    }

    private bool EmitCmpxchg(Op* op, in NativeForm f)
    {
        if (!InMemory(op) || !EmitAddress(op, f.Bytes, write: true))
        {
            return false;
        }

        int register = Get(op->Src, Host.Value);
        _e.RegReg(0x89, 8, Host.GuestRax, Host.Rax);
        LockPrefix(op);
        _e.RegMem(f.Opcode, f.Bytes, register, Host.Address, 0);
        _e.RegReg(0x89, 8, Host.Rax, Host.GuestRax);
        FlagsWritten();
        return true;
    }

    private bool EmitBswap(Op* op, in NativeForm f)
    {
        int target = Get(op->Dst, Host.Value);
        _e.Byte(0x40 | (f.Bytes == 8 ? 8 : 0) | (target >> 3));
        _e.Byte(0x0F);
        _e.Byte(0xC8 | (target & 7));
        Put(op->Dst, target);
        return true;
    }

    private bool EmitBitTestImm(Op* op, in NativeForm f)
    {
        int bit = (int)op->Immediate & ((f.Bytes * 8) - 1);
        bool writes = f.Sub != 4;
        if (InMemory(op))
        {
            if (!EmitAddress(op, f.Bytes, writes))
            {
                return false;
            }

            NeedFlags();
            LockPrefix(op);
            _e.RegMem(0x0FBA, f.Bytes, f.Sub, Host.Address, 0);
            _e.Byte(bit);
        }
        else
        {
            NeedFlags();
            int target = Get(op->Dst, Host.Value);
            _e.RegReg(0x0FBA, f.Bytes, f.Sub, target);
            _e.Byte(bit);
            PutIf(writes, op->Dst, target);
        }

        FlagsWritten();
        return true;
    }

    private bool EmitBitTestReg(Op* op, in NativeForm f)
    {
        if (InMemory(op))
        {
            return EmitBitString(op, f);
        }

        NeedFlags();
        int source = Get(op->Src, Host.Value);
        int target = Get(op->Dst, Host.Address);
        _e.RegReg(f.Opcode, f.Bytes, source, target);
        PutIf(f.Sub != 4, op->Dst, target);
        FlagsWritten();
        return true;
    }

    /// <summary>A bit string in memory: the register selects the element, then the bit in it (Intel SDM Vol. 2, "BT").</summary>
    private bool EmitBitString(Op* op, in NativeForm f)
    {
        if (!Addressable(op) || f.Bytes < 4)
        {
            return false;
        }

        SaveFlags();
        EmitLinear(op);
        int bits = f.Bytes == 8 ? 6 : 5;
        int offset = Get(op->Src, Host.Value);
        if (f.Bytes == 8)
        {
            _e.RegReg(0x89, 8, offset, Host.Value);
        }
        else
        {
            _e.RegReg(0x63, 8, Host.Value, offset);
        }

        _e.RegReg(0xC1, 8, 7, Host.Value);
        _e.Byte(bits);
        _e.RegMem(0x8D, 8, Host.Address, Host.Address, Host.Value, bits - 3, 0);
        EmitTranslate(f.Bytes, write: f.Sub != 4);
        offset = Get(op->Src, Host.Value);
        _e.RegReg(0x89, 4, offset, Host.Value);
        _e.RegReg(0x83, 4, 4, Host.Value);
        _e.Byte((f.Bytes * 8) - 1);
        _flags = FlagsIn.Ax;
        NeedFlags();
        LockPrefix(op);
        _e.RegMem(f.Opcode, f.Bytes, Host.Value, Host.Address, 0);
        FlagsWritten();
        return true;
    }

    private bool EmitSignExtendRax(in NativeForm f)
    {
        _e.RegReg(f.Opcode, f.Bytes, Host.GuestRax, Host.GuestRax);
        return true;
    }

    private bool EmitSignRdx(in NativeForm f)
    {
        SaveFlags();
        _e.RegReg(0x89, f.Bytes, Host.GuestRax, Host.Rdx);
        _e.RegReg(0xC1, f.Bytes, 7, Host.Rdx);
        _e.Byte((f.Bytes * 8) - 1);
        _flags = FlagsIn.Ax;
        return true;
    }

    private void NeedFlagsIf(bool condition)
    {
        if (condition)
        {
            NeedFlags();
        }
    }

    private void PutIf(bool condition, int guest, int host)
    {
        if (condition)
        {
            Put(guest, host);
        }
    }

    private void PrefixIf(int prefix)
    {
        if (prefix != 0)
        {
            _e.Byte(prefix);
        }
    }

    private void ImmediateByteIf(int immediate)
    {
        if (immediate >= 0)
        {
            _e.Byte(immediate);
        }
    }
}
