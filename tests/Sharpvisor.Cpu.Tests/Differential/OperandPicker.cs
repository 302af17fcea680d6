// Fills an instruction's operands at random, by Iced's operand kinds.
using Iced.Intel;

namespace Sharpvisor.Cpu.Tests.Differential;

internal sealed class OperandPicker(ulong buffer)
{
    private static readonly Register[] s_ignoredSegments = [Register.ES, Register.CS, Register.SS, Register.DS];

    /// <summary>A general register of 1 (without the high-byte ones), 2, 4 or 8 bytes.</summary>
    public static Register Gpr(int bytes, int number) => bytes switch
    {
        1 => number < 4 ? Register.AL + number : Register.SPL + (number - 4),
        2 => Register.AX + number,
        4 => Register.EAX + number,
        _ => Register.RAX + number,
    };

    public bool TryFill(Code code, SequenceTracker tracker, ref SplitMix random, out Instruction instruction)
    {
        instruction = default;
        instruction.Code = code;
        OpCodeInfo info = code.ToOpCode();
        for (int i = 0; i < info.OpCount; i++)
        {
            if (!TryFill(ref instruction, i, info.GetOpKind(i), tracker, ref random))
            {
                return false;
            }
        }

        if (info.CanUseLockPrefix && instruction.Op0Kind == OpKind.Memory && random.Percent(30))
        {
            instruction.HasLockPrefix = true;
        }

        if (instruction.IsStringInstruction && random.Percent(60))
        {
            bool compares = instruction.Mnemonic is Mnemonic.Cmpsb or Mnemonic.Cmpsw or Mnemonic.Cmpsd or Mnemonic.Cmpsq
                or Mnemonic.Scasb or Mnemonic.Scasw or Mnemonic.Scasd or Mnemonic.Scasq;
            if (compares && random.Percent(50))
            {
                instruction.HasRepnePrefix = true;
            }
            else
            {
                instruction.HasRepPrefix = true;
            }
        }

        return true;
    }

    /// <summary>An address for an operand: anywhere in the buffer, often across its pages' border.</summary>
    public ulong Target(int size, int alignment, ref SplitMix random)
    {
        if (random.Below(200) == 0)
        {
            // Into or across the border of the unmapped pages around it.
            return random.Percent(50) ? buffer - (ulong)(1 + random.Below(size)) : buffer + Arena.BufferBytes - (ulong)random.Below(size + 1);
        }

        int offset = random.Below(10) switch
        {
            0 or 1 when size > 1 => Arena.PageBytes - size + 1 + random.Below(size - 1),
            2 => Arena.BufferBytes - size,
            3 => 0,
            _ => random.Below(Arena.BufferBytes - size + 1),
        };
        if (random.Percent(50) && size is 2 or 4 or 8)
        {
            offset &= -size;
        }

        return buffer + (ulong)(offset & -alignment);
    }

    private bool TryFill(ref Instruction instruction, int operand, OpCodeOperandKind kind, SequenceTracker tracker, ref SplitMix random)
    {
        switch (kind)
        {
            case OpCodeOperandKind.r8_or_mem or OpCodeOperandKind.r16_or_mem or OpCodeOperandKind.r32_or_mem
                or OpCodeOperandKind.r64_or_mem or OpCodeOperandKind.mm_or_mem or OpCodeOperandKind.xmm_or_mem:
                if (random.Percent(50))
                {
                    SetRegister(ref instruction, operand, RegisterFor(kind, ref random));
                    return true;
                }

                return TryMemory(ref instruction, operand, tracker, ref random);
            case OpCodeOperandKind.mem:
                return TryMemory(ref instruction, operand, tracker, ref random);
            case OpCodeOperandKind.mem_offs:
                instruction.SetOpKind(operand, OpKind.Memory);
                instruction.MemoryDisplacement64 = Target(Math.Max(instruction.MemorySize.GetSize(), 1), 1, ref random);
                instruction.MemoryDisplSize = random.Percent(20) ? 4 : 8;
                return true;
            case OpCodeOperandKind.seg_rSI:
                instruction.SetOpKind(operand, random.Percent(15) ? OpKind.MemorySegESI : OpKind.MemorySegRSI);
                return SameAddressSize(instruction);
            case OpCodeOperandKind.es_rDI:
                instruction.SetOpKind(operand, MatchingDestination(instruction, operand, ref random));
                return SameAddressSize(instruction);
            case OpCodeOperandKind.seg_rDI:
                instruction.SetOpKind(operand, random.Percent(15) ? OpKind.MemorySegEDI : OpKind.MemorySegRDI);
                return true;
            case OpCodeOperandKind.seg_rBX_al:
                instruction.SetOpKind(operand, OpKind.Memory);
                instruction.MemoryBase = Register.RBX;
                instruction.MemoryIndex = Register.AL;
                instruction.MemoryIndexScale = 1;
                return true;
            case OpCodeOperandKind.br64_1 or OpCodeOperandKind.br64_4:
                instruction.SetOpKind(operand, OpKind.NearBranch64);
                instruction.NearBranch64 = (ulong)(tracker.Index + 1 + random.Below(5));
                return true;
            default:
                return TryImmediate(ref instruction, operand, kind, ref random) || TryRegister(ref instruction, operand, kind, ref random);
        }
    }

    // MOVS and CMPS have two implicit operands of one address size.
    private static OpKind MatchingDestination(in Instruction instruction, int operand, ref SplitMix random)
    {
        if (operand == 1 && instruction.Op0Kind is OpKind.MemorySegESI or OpKind.MemorySegRSI)
        {
            return instruction.Op0Kind == OpKind.MemorySegESI ? OpKind.MemoryESEDI : OpKind.MemoryESRDI;
        }

        return random.Percent(15) ? OpKind.MemoryESEDI : OpKind.MemoryESRDI;
    }

    private static bool SameAddressSize(in Instruction instruction) =>
        instruction.OpCount < 2 || !((instruction.Op0Kind, instruction.Op1Kind) is
            (OpKind.MemoryESEDI, OpKind.MemorySegRSI) or (OpKind.MemoryESRDI, OpKind.MemorySegESI));

    private static bool TryRegister(ref Instruction instruction, int operand, OpCodeOperandKind kind, ref SplitMix random)
    {
        Register register = RegisterFor(kind, ref random);
        if (register == Register.None)
        {
            return false;
        }

        SetRegister(ref instruction, operand, register);
        return true;
    }

    private static void SetRegister(ref Instruction instruction, int operand, Register register)
    {
        instruction.SetOpKind(operand, OpKind.Register);
        instruction.SetOpRegister(operand, register);
    }

    private static Register RegisterFor(OpCodeOperandKind kind, ref SplitMix random)
    {
        switch (kind)
        {
            case OpCodeOperandKind.r8_or_mem or OpCodeOperandKind.r8_reg or OpCodeOperandKind.r8_opcode:
                return random.Percent(25) ? Register.AH + random.Below(4) : Gpr(1, Number(ref random));
            case OpCodeOperandKind.r16_or_mem or OpCodeOperandKind.r16_reg or OpCodeOperandKind.r16_rm or OpCodeOperandKind.r16_opcode:
                return Gpr(2, Number(ref random));
            case OpCodeOperandKind.r32_or_mem or OpCodeOperandKind.r32_reg or OpCodeOperandKind.r32_rm
                or OpCodeOperandKind.r32_opcode or OpCodeOperandKind.r32_vvvv:
                return Gpr(4, Number(ref random));
            case OpCodeOperandKind.r64_or_mem or OpCodeOperandKind.r64_reg or OpCodeOperandKind.r64_rm
                or OpCodeOperandKind.r64_opcode or OpCodeOperandKind.r64_vvvv:
                return Gpr(8, Number(ref random));
            case OpCodeOperandKind.mm_or_mem or OpCodeOperandKind.mm_reg or OpCodeOperandKind.mm_rm:
                return Register.MM0 + random.Below(8);
            case OpCodeOperandKind.xmm_or_mem or OpCodeOperandKind.xmm_reg or OpCodeOperandKind.xmm_rm:
                return Register.XMM0 + (random.Percent(70) ? random.Below(4) : random.Below(16));
            case OpCodeOperandKind.st0:
                return Register.ST0;
            case OpCodeOperandKind.sti_opcode:
                return Register.ST0 + random.Below(8);
            case OpCodeOperandKind.al:
                return Register.AL;
            case OpCodeOperandKind.cl:
                return Register.CL;
            case OpCodeOperandKind.ax:
                return Register.AX;
            case OpCodeOperandKind.dx:
                return Register.DX;
            case OpCodeOperandKind.eax:
                return Register.EAX;
            case OpCodeOperandKind.rax:
                return Register.RAX;
            default:
                return Register.None;
        }
    }

    // RSP seldom: a sequence that lost it can use the stack only after loading it again.
    private static int Number(ref SplitMix random)
    {
        int number = random.Percent(50) ? random.Below(4) : random.Below(16);
        return number == 4 && random.Percent(80) ? 5 : number;
    }

    private static bool TryImmediate(ref Instruction instruction, int operand, OpCodeOperandKind kind, ref SplitMix random)
    {
        OpKind op;
        switch (kind)
        {
            case OpCodeOperandKind.imm8:
                op = OpKind.Immediate8;
                break;
            case OpCodeOperandKind.imm8_const_1:
                instruction.SetOpKind(operand, OpKind.Immediate8);
                instruction.Immediate8 = 1;
                return true;
            case OpCodeOperandKind.imm8sex16:
                op = OpKind.Immediate8to16;
                break;
            case OpCodeOperandKind.imm8sex32:
                op = OpKind.Immediate8to32;
                break;
            case OpCodeOperandKind.imm8sex64:
                op = OpKind.Immediate8to64;
                break;
            case OpCodeOperandKind.imm16:
                op = OpKind.Immediate16;
                break;
            case OpCodeOperandKind.imm32:
                op = OpKind.Immediate32;
                break;
            case OpCodeOperandKind.imm32sex64:
                op = OpKind.Immediate32to64;
                break;
            case OpCodeOperandKind.imm64:
                op = OpKind.Immediate64;
                break;
            default:
                return false;
        }

        instruction.SetOpKind(operand, op);
        ulong value = InterestingValues.Integer(ref random);
        switch (op)
        {
            case OpKind.Immediate8:
                instruction.Immediate8 = (byte)value;
                break;
            case OpKind.Immediate8to16:
                instruction.Immediate8to16 = (sbyte)value;
                break;
            case OpKind.Immediate8to32:
                instruction.Immediate8to32 = (sbyte)value;
                break;
            case OpKind.Immediate8to64:
                instruction.Immediate8to64 = (sbyte)value;
                break;
            case OpKind.Immediate16:
                instruction.Immediate16 = (ushort)value;
                break;
            case OpKind.Immediate32:
                instruction.Immediate32 = (uint)value;
                break;
            case OpKind.Immediate32to64:
                instruction.Immediate32to64 = (int)value;
                break;
            default:
                instruction.Immediate64 = value;
                break;
        }

        return true;
    }

    private bool TryMemory(ref Instruction instruction, int operand, SequenceTracker tracker, ref SplitMix random)
    {
        instruction.SetOpKind(operand, OpKind.Memory);
        int size = Math.Max(instruction.MemorySize.GetSize(), 1);
        int alignment = 1;
        if (size == 16 && !IsUnaligned(instruction.Mnemonic) && random.Percent(97))
        {
            alignment = 16;
        }

        ulong target = Target(size, alignment, ref random);
        if (random.Percent(5))
        {
            instruction.SegmentPrefix = s_ignoredSegments[random.Below(4)];
        }

        if (random.Percent(12))
        {
            instruction.MemoryBase = random.Percent(90) ? Register.RIP : Register.EIP;
            instruction.MemoryDisplSize = 8;
            instruction.MemoryDisplacement64 = target;
            return true;
        }

        for (int attempt = 0; attempt < 6; attempt++)
        {
            if (TryAddressing(ref instruction, target, tracker, ref random))
            {
                return true;
            }
        }

        instruction.MemoryBase = Register.None;
        instruction.MemoryIndex = Register.None;
        instruction.MemoryDisplSize = 8;
        instruction.MemoryDisplacement64 = target;
        return true;
    }

    private static bool TryAddressing(ref Instruction instruction, ulong target, SequenceTracker tracker, ref SplitMix random)
    {
        bool narrow = random.Percent(8);
        ulong displacement = target;
        Register @base = Register.None;
        Register index = Register.None;
        int number = random.Below(16);
        if (random.Percent(92) && tracker.IsKnown(number))
        {
            @base = Gpr(narrow ? 4 : 8, number);
            displacement -= tracker.Value(number);
        }

        number = random.Below(16);
        int scale = 1 << random.Below(4);
        if (random.Percent(40) && number != 4 && tracker.IsKnown(number))
        {
            index = Gpr(narrow ? 4 : 8, number);
            displacement -= tracker.Value(number) * (ulong)scale;
        }

        if (@base == Register.None && index == Register.None)
        {
            return false;
        }

        if (narrow)
        {
            displacement = (ulong)(int)displacement;
        }

        if ((long)displacement != (int)displacement)
        {
            return false;
        }

        instruction.MemoryBase = @base;
        instruction.MemoryIndex = index;
        instruction.MemoryIndexScale = scale;
        if (index == Register.None)
        {
            instruction.MemoryIndexScale = 1;
        }

        bool small = (long)displacement == (sbyte)displacement && @base != Register.None;
        instruction.MemoryDisplSize = displacement == 0 && @base != Register.None && (@base - Register.RAX & 7) != 5 && !narrow
            ? 0
            : small ? 1 : narrow ? 4 : 8;
        instruction.MemoryDisplacement64 = narrow ? (uint)displacement : displacement;
        return true;
    }

    private static bool IsUnaligned(Mnemonic mnemonic) => mnemonic is Mnemonic.Movups or Mnemonic.Movupd or Mnemonic.Movdqu
        or Mnemonic.Lddqu or Mnemonic.Pcmpestri or Mnemonic.Pcmpestrm or Mnemonic.Pcmpistri or Mnemonic.Pcmpistrm;
}
