// Maps one Iced Instruction to an Op.
using Iced.Intel;
using Sharpvisor.Cpu.Interpreter;

namespace Sharpvisor.Cpu.Decode;

/// <summary>Fills an <see cref="Op"/> whose PageOffset is set already; the instruction was decoded with IP = page offset.</summary>
internal static unsafe class OpBuilder
{
    private const byte NoRegister = 16;
    private const byte PageBase = 17;

    /// <returns>False when the instruction ends its block.</returns>
    public static bool Build(Op* op, in Instruction instruction, int bits)
    {
        op->Code = (ushort)instruction.Code;
        op->Length = (byte)Math.Max(1, instruction.Length);
        op->Base = NoRegister;
        op->Index = NoRegister;
        op->Segment = (byte)Segment.Ds;
        op->AddressBytes = (byte)(2 << bits);
        op->OperandBytes = (byte)(2 << bits);
        OpFlags flags = bits == 2 ? OpFlags.Long : OpFlags.None;
        flags |= instruction.HasLockPrefix ? OpFlags.Lock : 0;
        flags |= instruction.HasRepPrefix ? OpFlags.Rep : 0;
        flags |= instruction.HasRepnePrefix ? OpFlags.Repne : 0;
        int count = instruction.OpCount;
        for (int i = 0; i < count; i++)
        {
            flags |= Operand(op, in instruction, i);
        }

        if ((flags & OpFlags.Memory) != 0 && op->AddressBytes == 8 && op->Segment < (byte)Segment.Fs
            && (flags & OpFlags.Long) != 0)
        {
            flags |= OpFlags.Flat;
        }

        op->Flags = flags;
        SetOperandBytes(op, in instruction);
        Code code = instruction.Code;
        var handler = HandlerTable.Instance.Find(code, flags);
        if (handler == null || code == Code.INVALID)
        {
            op->Handler = &Branch.Undefined;
            return false;
        }

        op->Handler = handler;
        return instruction.FlowControl is FlowControl.Next or FlowControl.ConditionalBranch
            && !HandlerTable.Instance.EndsBlock(code);
    }

    private static OpFlags Operand(Op* op, in Instruction instruction, int index)
    {
        OpKind kind = instruction.GetOpKind(index);
        switch (kind)
        {
            case OpKind.Register:
                return RegisterOperand(op, instruction.GetOpRegister(index), index, instruction.Op0Kind != OpKind.Register);
            case OpKind.Memory:
                MemoryOperand(op, in instruction);
                return OpFlags.Memory;
            case OpKind.NearBranch16:
                op->Immediate = (short)instruction.NearBranch16;
                break;
            case OpKind.NearBranch32:
                op->Immediate = (int)instruction.NearBranch32;
                break;
            case OpKind.NearBranch64:
                op->Immediate = (long)instruction.NearBranch64;
                break;
            case OpKind.FarBranch16:
                op->Immediate = ((long)instruction.FarBranchSelector << 32) | instruction.FarBranch16;
                break;
            case OpKind.FarBranch32:
                op->Immediate = ((long)instruction.FarBranchSelector << 32) | instruction.FarBranch32;
                break;
            case OpKind.Immediate8_2nd:
                op->Extra = instruction.Immediate8_2nd;
                break;
            case OpKind.Immediate32:
                op->Immediate = (int)instruction.Immediate32;
                break;
            case >= OpKind.Immediate8 and <= OpKind.Immediate32to64:
                op->Immediate = (long)instruction.GetImmediate(index);
                break;
            default:
                ImplicitMemory(op, in instruction, kind);
                break;
        }

        return OpFlags.None;
    }

    private static OpFlags RegisterOperand(Op* op, Register register, int index, bool afterMemory)
    {
        byte number;
        bool high = false;
        if (register is >= Register.AL and <= Register.R15L)
        {
            int n = register - Register.AL;
            high = n is >= 4 and <= 7;
            number = (byte)(n >= 8 ? n - 4 : n);
        }
        else
        {
            number = (byte)register.GetNumber();
        }

        switch (index)
        {
            case 0:
                op->Dst = number;
                return high ? OpFlags.HighDst : 0;
            case 1 when afterMemory:
                // A store: its register is both "the reg of a store" and the second operand.
                op->Dst = number;
                op->Src = number;
                return high ? OpFlags.HighDst | OpFlags.HighSrc : 0;
            case 1:
                op->Src = number;
                return high ? OpFlags.HighSrc : 0;
            default:
                op->Src2 = number;
                return 0;
        }
    }

    private static void MemoryOperand(Op* op, in Instruction instruction)
    {
        Register b = instruction.MemoryBase;
        Register i = instruction.MemoryIndex;
        op->Displacement = (long)instruction.MemoryDisplacement64;
        op->Segment = (byte)(instruction.MemorySegment - Register.ES);
        op->AddressBytes = AddressBytes(b, i, instruction.MemoryDisplSize, op->AddressBytes);
        if (b is Register.RIP or Register.EIP)
        {
            op->Base = PageBase;
        }
        else if (b != Register.None)
        {
            op->Base = (byte)b.GetNumber();
        }

        // XLAT's index is AL: its handler adds it.
        if (i != Register.None && i != Register.AL && !i.IsVectorRegister())
        {
            op->Index = (byte)i.GetNumber();
            op->Scale = (byte)int.Log2(instruction.MemoryIndexScale);
        }
    }

    private static byte AddressBytes(Register b, Register i, int displacementBytes, byte fallback)
    {
        Register r = b != Register.None ? b : i;
        if (r == Register.RIP || r.IsGPR64())
        {
            return 8;
        }

        if (r == Register.EIP || r.IsGPR32())
        {
            return 4;
        }

        if (r.IsGPR16())
        {
            return 2;
        }

        return displacementBytes is 2 or 4 or 8 ? (byte)displacementBytes : fallback;
    }

    private static void ImplicitMemory(Op* op, in Instruction instruction, OpKind kind)
    {
        switch (kind)
        {
            case OpKind.MemorySegSI or OpKind.MemorySegDI:
                op->AddressBytes = 2;
                op->Segment = (byte)(instruction.MemorySegment - Register.ES);
                break;
            case OpKind.MemorySegESI or OpKind.MemorySegEDI:
                op->AddressBytes = 4;
                op->Segment = (byte)(instruction.MemorySegment - Register.ES);
                break;
            case OpKind.MemorySegRSI or OpKind.MemorySegRDI:
                op->AddressBytes = 8;
                op->Segment = (byte)(instruction.MemorySegment - Register.ES);
                break;
            case OpKind.MemoryESDI:
                op->AddressBytes = 2;
                break;
            case OpKind.MemoryESEDI:
                op->AddressBytes = 4;
                break;
            case OpKind.MemoryESRDI:
                op->AddressBytes = 8;
                break;
            default:
                break;
        }
    }

    private static void SetOperandBytes(Op* op, in Instruction instruction)
    {
        if (instruction.OpCount == 0)
        {
            return;
        }

        Register first = instruction.Op0Kind == OpKind.Register ? instruction.Op0Register : Register.None;
        if (first != Register.None && first.IsGPR())
        {
            op->OperandBytes = (byte)first.GetSize();
        }
        else if ((op->Flags & OpFlags.Memory) != 0)
        {
            op->OperandBytes = (byte)Math.Clamp(instruction.MemorySize.GetSize(), 0, 255);
        }
        else if (instruction.StackPointerIncrement != 0)
        {
            op->OperandBytes = (byte)Math.Min(8, Math.Abs(instruction.StackPointerIncrement));
        }
    }
}
