// What is known about the machine before each instruction of a sequence without running it: register values that are
// constants, flags that hold nothing defined. It decides whether an instruction is admissible: all its memory lies in the
// scratch buffer, and nothing undefined becomes visible. The generator and the shrinker both ask it.
using System.Numerics;
using System.Runtime.CompilerServices;
using Iced.Intel;

namespace Sharpvisor.Cpu.Tests.Differential;

[InlineArray(16)]
internal struct Registers
{
    private ulong _first;
}

internal sealed class SequenceTracker(ulong buffer)
{
    public const int MaximumRepeat = 300;
    private const int Rcx = 1;
    private const int Rsp = 4;
    private const int Rsi = 6;
    private const int Rdi = 7;
    private const int MaximumPending = 8;
    private const uint DirectionFlag = 0x400;
    private const uint MisalignedMask = 0x2_0000;

    /// <summary>What POPF may load: neither TF nor AC, which would stop the host process.</summary>
    public const uint SafeFlags = 0xED7;

    public const ulong Label = 0x7000_0000_0000_0000;

    private readonly InstructionInfoFactory _factory = new();
    private readonly Snapshot[] _pending = new Snapshot[MaximumPending];
    private int _pendingCount;
    private int _index;
    private Snapshot _now;

    /// <summary>Bit i: the value of GPR i is a known constant.</summary>
    public uint Known => _now.Known;

    public RflagsBits Undefined => _now.Undefined;

    public RflagsBits UndefinedAnywhere { get; private set; }

    /// <summary>Bits of the x87 status word without a defined value.</summary>
    public ushort UndefinedStatus => _now.UndefinedStatus;

    public ushort UndefinedStatusAnywhere { get; private set; }

    public int Index => _index;

    public bool CanBranch => _pendingCount < MaximumPending;

    public bool InShadow => _pendingCount > 0;

    public ulong Value(int gpr) => _now.Values[gpr];

    public bool IsKnown(int gpr) => (_now.Known >> gpr & 1) != 0;

    public static bool IsBranch(in Instruction instruction) => instruction.Op0Kind == OpKind.NearBranch64;

    /// <summary>LEA r64 of an instruction of the sequence: its displacement is <see cref="Label"/> plus the index.</summary>
    public static bool IsLabelLoad(in Instruction instruction) =>
        instruction.Code == Code.Lea_r64_m && (instruction.MemoryDisplacement64 & ~0xFFUL) == Label;

    /// <summary>MOV dword [RIP + …], imm32 over the immediate of a later instruction, addressed as <see cref="IsLabelLoad"/> does.</summary>
    public static bool IsPatch(in Instruction instruction) =>
        instruction.Code == Code.Mov_rm32_imm32 && instruction.Op0Kind == OpKind.Memory
        && (instruction.MemoryDisplacement64 & ~0xFFUL) == Label;

    /// <summary>Ends in four bytes that may be anything: all flags are defined, and the result is no address.</summary>
    public static bool IsPatchable(in Instruction instruction) =>
        instruction.Code == Code.Add_rm32_imm32 && instruction.Op0Kind == OpKind.Register;

    public static bool IsIndirect(in Instruction instruction) =>
        instruction.Code is Code.Jmp_rm64 or Code.Call_rm64 or Code.Retnq or Code.Retnq_imm16;

    public unsafe void Begin(ref MachineState initial)
    {
        for (int i = 0; i < 16; i++)
        {
            _now.Values[i] = initial.Gpr[i];
        }

        _now.Known = 0xFFFF;
        _now.Undefined = RflagsBits.None;
        _now.UndefinedStatus = 0;
        UndefinedStatusAnywhere = 0;
        _now.X87Masked = (initial.Fx[MachineState.FxFcw] & 0x3F) == 0x3F;
        _now.Masked = (Unsafe.ReadUnaligned<uint>(ref initial.Fx[MachineState.FxMxcsr]) & 0x1F80) == 0x1F80;
        _now.Last = default;
        _now.LabelRegister = Register.None;
        _now.LabelPushed = false;
        _now.FlagsPushed = false;
        _now.DirectionKnown = true;
        _now.Backward = (initial.RFlags & 0x400) != 0;
        _pendingCount = 0;
        _index = 0;
        UndefinedAnywhere = RflagsBits.None;
    }

    /// <summary>Checks the next instruction and, when admissible, moves past it.</summary>
    public bool TryAdd(in Instruction instruction)
    {
        InstructionInfo info = _factory.GetInfo(instruction);
        if (!Admits(instruction, info))
        {
            return false;
        }

        Apply(instruction, info);
        _index++;
        Merge(_index);
        return true;
    }

    /// <summary>Joins every branch that goes past the last instruction.</summary>
    public void End()
    {
        for (int i = 0; i < _pendingCount; i++)
        {
            Join(ref _pending[i]);
        }

        _pendingCount = 0;
    }

    private bool Admits(in Instruction instruction, in InstructionInfo info)
    {
        if ((instruction.RflagsRead & _now.Undefined) != 0)
        {
            return false;
        }

        if (IsPatch(instruction))
        {
            return (instruction.MemoryDisplacement64 & 0xFF) > (ulong)_index;
        }

        foreach (UsedMemory memory in info.GetUsedMemory())
        {
            if (memory.Access is not (OpAccess.NoMemAccess or OpAccess.None) && !InBuffer(memory))
            {
                return false;
            }
        }

        if (IsBranch(instruction))
        {
            return CanBranch && instruction.NearBranch64 > (ulong)_index;
        }

        if (IsIndirect(instruction))
        {
            return CanBranch && IndirectTarget(instruction) > _index;
        }

        return instruction.Mnemonic switch
        {
            Mnemonic.Bt or Mnemonic.Bts or Mnemonic.Btr or Mnemonic.Btc => BitOffsetInBuffer(instruction),
            Mnemonic.Shld or Mnemonic.Shrd => DoubleShiftDefined(instruction),
            Mnemonic.Popf or Mnemonic.Popfq => _now.FlagsPushed,
            // Vendors differ on an upper half of the destination when the comparison fails.
            Mnemonic.Cmpxchg => instruction.Op0Kind == OpKind.Memory || instruction.Op0Register.GetSize() != 4,
            // … on whether a memory operand switches the FPU to MMX, and on whether #XM comes before or after that.
            Mnemonic.Cvtpi2ps => instruction.Op1Kind != OpKind.Memory && _now.Masked,
            // … and on how many of its steps a dot product did before an unmasked exception.
            Mnemonic.Dpps or Mnemonic.Dppd => _now.Masked,
            // … on whether a mask of zeros can fault, and on whether the load that finds a denormal is done.
            Mnemonic.Maskmovq or Mnemonic.Maskmovdqu => TryGet(Register.RDI, out ulong rdi) && Strictly(rdi, 16),
            Mnemonic.Fld => instruction.Code is not (Code.Fld_m32fp or Code.Fld_m64fp) || _now.X87Masked,
            Mnemonic.Ldmxcsr => MxcsrStored(instruction),
            Mnemonic.Cvtpi2pd or Mnemonic.Cvtps2pi or Mnemonic.Cvttps2pi or Mnemonic.Cvtpd2pi or Mnemonic.Cvttpd2pi => _now.Masked,
            Mnemonic.Fnstsw => _now.UndefinedStatus == 0,
            // The address is that before or after the pop, by addressing form.
            Mnemonic.Pop => instruction.Op0Kind != OpKind.Memory || instruction.MemoryBase.GetFullRegister() != Register.RSP,
            _ => !instruction.IsStringInstruction || StringInBuffer(instruction),
        };
    }

    // -1 when it is not known.
    private int IndirectTarget(in Instruction instruction) => instruction.Code is Code.Retnq or Code.Retnq_imm16
        ? _now.LabelPushed ? _now.LabelTarget : -1
        : instruction.Op0Kind == OpKind.Register && instruction.Op0Register == _now.LabelRegister ? _now.LabelTarget : -1;

    // AMD's MXCSR has a bit 17 (misaligned SSE), Intel's has not: load only what was stored just before without it.
    private bool MxcsrStored(in Instruction instruction) =>
        _now.Last.Code == Code.Mov_rm32_imm32 && (_now.Last.Immediate32 & MisalignedMask) == 0
        && _now.Last.MemoryBase == instruction.MemoryBase && _now.Last.MemoryIndex == instruction.MemoryIndex
        && _now.Last.MemoryIndexScale == instruction.MemoryIndexScale
        && _now.Last.MemoryDisplacement64 == instruction.MemoryDisplacement64;

    private bool InBuffer(in UsedMemory memory)
    {
        ulong address = memory.Displacement;
        if (memory.Segment is Register.FS or Register.GS)
        {
            return false;
        }

        if (memory.Base != Register.None && memory.Base != Register.RIP)
        {
            if (!TryGet(memory.Base, out ulong value))
            {
                return false;
            }

            address += value;
        }

        if (memory.Index != Register.None)
        {
            if (!TryGet(memory.Index, out ulong value))
            {
                return false;
            }

            address += value * (ulong)memory.Scale;
        }

        if (memory.AddressSize == CodeSize.Code32)
        {
            address = (uint)address;
        }

        int size = Math.Max(memory.MemorySize.GetSize(), 1);
        return Contains(address, size);
    }

    // The pages before and after the buffer are unmapped on both sides: reaching them is a page fault to compare.
    private bool Contains(ulong address, int size) =>
        address >= buffer - Arena.PageBytes && address <= buffer + Arena.BufferBytes + Arena.PageBytes - (ulong)size;

    private bool Strictly(ulong address, int size) =>
        address >= buffer && address <= buffer + Arena.BufferBytes - (ulong)size;

    private bool TryGet(Register register, out ulong value)
    {
        int number = register.GetFullRegister() - Register.RAX;
        value = 0;
        if ((uint)number > 15 || !IsKnown(number))
        {
            return false;
        }

        value = register.GetSize() switch
        {
            1 => (byte)_now.Values[number],
            2 => (ushort)_now.Values[number],
            4 => (uint)_now.Values[number],
            _ => _now.Values[number],
        };
        return true;
    }

    // With a register bit offset the operand is a bit string: the byte accessed depends on the offset.
    private bool BitOffsetInBuffer(in Instruction instruction)
    {
        if (instruction.Op0Kind != OpKind.Memory || instruction.Op1Kind != OpKind.Register)
        {
            return true;
        }

        if (!TryGet(instruction.Op1Register, out ulong raw) || !TryAddress(instruction, out ulong address))
        {
            return false;
        }

        int bytes = instruction.Op1Register.GetSize();
        long offset = bytes switch { 2 => (short)raw, 4 => (int)raw, _ => (long)raw };
        return offset is > -Arena.BufferBytes * 8 and < Arena.BufferBytes * 8
            && Contains(address + (ulong)((offset >> BitOperations.Log2((uint)bytes * 8)) * bytes), bytes);
    }

    private bool TryAddress(in Instruction instruction, out ulong address)
    {
        address = instruction.MemoryDisplacement64;
        if (instruction.MemoryBase is not (Register.None or Register.RIP or Register.EIP))
        {
            if (!TryGet(instruction.MemoryBase, out ulong value))
            {
                return false;
            }

            address += value;
        }

        if (instruction.MemoryIndex != Register.None)
        {
            if (!TryGet(instruction.MemoryIndex, out ulong value))
            {
                return false;
            }

            address += value * (ulong)instruction.MemoryIndexScale;
        }

        bool narrow = instruction.MemoryBase.GetSize() == 4 || instruction.MemoryIndex.GetSize() == 4;
        address = narrow ? (uint)address : address;
        return true;
    }

    // A 16-bit double shift by more than 16 has no defined result.
    private bool DoubleShiftDefined(in Instruction instruction)
    {
        if (instruction.Op1Register.GetSize() != 2)
        {
            return true;
        }

        ulong count;
        if (instruction.Op2Kind == OpKind.Register)
        {
            if (!TryGet(Register.CL, out count))
            {
                return false;
            }
        }
        else
        {
            count = instruction.Immediate8;
        }

        return (count & 31) <= 16;
    }

    private bool StringInBuffer(in Instruction instruction)
    {
        if (!instruction.HasRepPrefix && !instruction.HasRepnePrefix)
        {
            return _now.DirectionKnown;
        }

        bool narrow = false;
        bool source = false;
        bool destination = false;
        for (int i = 0; i < instruction.OpCount; i++)
        {
            OpKind kind = instruction.GetOpKind(i);
            narrow |= kind is OpKind.MemoryESEDI or OpKind.MemorySegESI;
            source |= kind is OpKind.MemorySegESI or OpKind.MemorySegRSI;
            destination |= kind is OpKind.MemoryESEDI or OpKind.MemoryESRDI;
        }

        ulong mask = narrow ? uint.MaxValue : ulong.MaxValue;
        if (!IsKnown(Rcx) || !_now.DirectionKnown || (_now.Values[Rcx] & mask) > MaximumRepeat)
        {
            return false;
        }

        int size = Math.Max(instruction.MemorySize.GetSize(), 1);
        ulong count = _now.Values[Rcx] & mask;
        return (!source || RunInBuffer(Rsi, mask, count, size)) && (!destination || RunInBuffer(Rdi, mask, count, size));
    }

    private bool RunInBuffer(int register, ulong mask, ulong count, int size)
    {
        if (!IsKnown(register))
        {
            return false;
        }

        ulong first = _now.Values[register] & mask;
        ulong span = (count == 0 ? 0 : count - 1) * (ulong)size;
        return Contains(first, size) && Contains(_now.Backward ? first - span : first + span, size);
    }

    private void Apply(in Instruction instruction, in InstructionInfo info)
    {
        ApplyFlags(instruction);
        ApplyStatus(instruction);
        if (instruction.Mnemonic is Mnemonic.Popf or Mnemonic.Popfq)
        {
            _now.DirectionKnown = true;
            _now.Backward = (_now.Pushed & DirectionFlag) != 0;
        }

        _now.FlagsPushed = instruction.Code is Code.Pushq_imm32 && (instruction.Immediate32 & ~SafeFlags) == 0;
        _now.Pushed = instruction.Immediate32;
        _now.Last = instruction;
        _now.X87Masked = (_now.X87Masked && instruction.Mnemonic != Mnemonic.Fldcw) || (instruction.Mnemonic == Mnemonic.Fninit && !InShadow);
        _now.Masked &= instruction.Mnemonic != Mnemonic.Ldmxcsr;
        if (instruction.Mnemonic is Mnemonic.Cld or Mnemonic.Std)
        {
            _now.DirectionKnown = true;
            _now.Backward = instruction.Mnemonic == Mnemonic.Std;
        }

        int target = IsBranch(instruction) ? (int)instruction.NearBranch64 : IsIndirect(instruction) ? IndirectTarget(instruction) : 0;
        bool pushed = instruction.Code == Code.Push_r64 && instruction.Op0Register == _now.LabelRegister;
        _now.LabelPushed = false;
        if (target > _index + 1)
        {
            ForgetWritten(instruction, info);
            _now.Target = target;
            _pending[_pendingCount++] = _now;
            return;
        }

        if (instruction.Mnemonic == Mnemonic.Mov && instruction.Op0Kind == OpKind.Register && TryMoved(instruction, out ulong value))
        {
            int number = instruction.Op0Register.GetFullRegister() - Register.RAX;
            _now.Values[number] = value;
            _now.Known |= 1u << number;
            ForgetLabel(number);
            return;
        }

        ForgetWritten(instruction, info);
        _now.LabelPushed = pushed;
        if (IsLabelLoad(instruction))
        {
            _now.LabelRegister = instruction.Op0Register;
            _now.LabelTarget = (int)(instruction.MemoryDisplacement64 & 0xFF);
        }
    }

    private bool TryMoved(in Instruction instruction, out ulong value)
    {
        value = 0;
        int size = instruction.Op0Register.GetSize();
        if (size < 4)
        {
            return false;
        }

        if (instruction.Op1Kind == OpKind.Register)
        {
            return TryGet(instruction.Op1Register, out value);
        }

        if (instruction.Op1Kind is OpKind.Immediate32 or OpKind.Immediate64 or OpKind.Immediate32to64)
        {
            value = instruction.GetImmediate(1);
            value = size == 4 ? (uint)value : value;
            return true;
        }

        return false;
    }

    private void ForgetWritten(in Instruction instruction, in InstructionInfo info)
    {
        foreach (UsedRegister used in info.GetUsedRegisters())
        {
            if (used.Access is OpAccess.Read or OpAccess.CondRead or OpAccess.None or OpAccess.NoMemAccess || !used.Register.IsGPR())
            {
                continue;
            }

            int number = used.Register.GetFullRegister() - Register.RAX;
            ForgetLabel(number);
            if (number == Rsp && AdjustsStackOnly(instruction))
            {
                _now.Values[Rsp] += (ulong)instruction.StackPointerIncrement;
                continue;
            }

            _now.Known &= ~(1u << number);
        }
    }

    private void ForgetLabel(int gpr)
    {
        if (_now.LabelRegister == Register.RAX + gpr)
        {
            _now.LabelRegister = Register.None;
        }
    }

    private static bool AdjustsStackOnly(in Instruction instruction) =>
        instruction.IsStackInstruction && instruction.Mnemonic is not (Mnemonic.Leave or Mnemonic.Enter)
        && !(instruction.Mnemonic == Mnemonic.Pop && instruction.Op0Kind == OpKind.Register
            && instruction.Op0Register.GetFullRegister() == Register.RSP);

    private void ApplyFlags(in Instruction instruction)
    {
        const RflagsBits status = RflagsBits.OF | RflagsBits.SF | RflagsBits.ZF | RflagsBits.AF | RflagsBits.CF | RflagsBits.PF;
        RflagsBits written = instruction.RflagsWritten | instruction.RflagsCleared | instruction.RflagsSet;
        RflagsBits undefined = instruction.RflagsUndefined & status;
        undefined |= FlagsLeftOpen(instruction, out bool mayNotWrite);
        if (!mayNotWrite)
        {
            _now.Undefined &= ~written;
        }

        _now.Undefined |= undefined;
        UndefinedAnywhere |= _now.Undefined;
        if (mayNotWrite && instruction.IsStringInstruction)
        {
            // A fault half-way: Intel restores the flags, AMD keeps the last comparison's (SDM Vol. 2B, "REP").
            UndefinedAnywhere |= status;
        }
    }

    // SDM Vol. 2A leaves C1 open after these; implementations keep or clear it.
    private void ApplyStatus(in Instruction instruction)
    {
        const ushort c1 = 0x200;
        const ushort precision = 0x20;
        if (instruction.Code is Code.Fst_m32fp or Code.Fst_m64fp or Code.Fstp_m32fp or Code.Fstp_m64fp && !_now.X87Masked)
        {
            // An unmasked overflow or underflow stops the store: whether it is also called inexact when the exponent is
            // far out of range is not said (SDM Vol. 1, 8.5.4 and 8.5.5).
            _now.UndefinedStatus |= precision;
            UndefinedStatusAnywhere |= precision;
        }

        switch (instruction.Mnemonic)
        {
            case Mnemonic.Fcmovb or Mnemonic.Fcmovbe or Mnemonic.Fcmove or Mnemonic.Fcmovnb or Mnemonic.Fcmovnbe or Mnemonic.Fcmovne
                or Mnemonic.Fcmovnu or Mnemonic.Fcmovu or Mnemonic.Fcomi or Mnemonic.Fcomip or Mnemonic.Fucomi or Mnemonic.Fucomip
                or Mnemonic.Ffree or Mnemonic.Ffreep:
                _now.UndefinedStatus |= c1;
                UndefinedStatusAnywhere |= c1;
                break;
            case Mnemonic.Fninit when !InShadow:
                _now.UndefinedStatus = 0;
                break;
            case Mnemonic.Fcom or Mnemonic.Fcomp or Mnemonic.Fcompp or Mnemonic.Fucom or Mnemonic.Fucomp
                or Mnemonic.Fucompp or Mnemonic.Ftst or Mnemonic.Fxam or Mnemonic.Fld or Mnemonic.Fadd or Mnemonic.Fmul
                or Mnemonic.Fild or Mnemonic.Fchs or Mnemonic.Fabs when !InShadow:
                _now.UndefinedStatus &= precision;
                break;
        }
    }

    // What Iced's table does not say: a shift by a count that is not known may leave all flags alone, a count past the
    // operand's size leaves CF undefined for SHL and SHR (SDM Vol. 2B, "SAL/SAR/SHL/SHR").
    private static RflagsBits FlagsLeftOpen(in Instruction instruction, out bool mayNotWrite)
    {
        mayNotWrite = false;
        switch (instruction.Mnemonic)
        {
            case Mnemonic.Shl or Mnemonic.Sal or Mnemonic.Shr or Mnemonic.Sar or Mnemonic.Rol or Mnemonic.Ror
                or Mnemonic.Rcl or Mnemonic.Rcr or Mnemonic.Shld or Mnemonic.Shrd:
                int last = instruction.OpCount - 1;
                bool variable = instruction.GetOpKind(last) == OpKind.Register;
                int size = instruction.Op0Kind == OpKind.Register ? instruction.Op0Register.GetSize() : instruction.MemorySize.GetSize();
                int count = variable ? 31 : (int)instruction.GetImmediate(last) & (size == 8 ? 63 : 31);
                mayNotWrite = variable || count == 0;
                bool rotate = instruction.Mnemonic is Mnemonic.Rol or Mnemonic.Ror or Mnemonic.Rcl or Mnemonic.Rcr;
                RflagsBits open = count > 1 ? RflagsBits.OF : RflagsBits.None;
                if (!rotate && count != 0)
                {
                    open |= RflagsBits.AF;
                }

                if (count >= size * 8 && !rotate && instruction.Mnemonic != Mnemonic.Sar)
                {
                    open |= RflagsBits.CF;
                }

                return open;
            case Mnemonic.Cmpsb or Mnemonic.Cmpsw or Mnemonic.Cmpsd or Mnemonic.Cmpsq or Mnemonic.Scasb or Mnemonic.Scasw
                or Mnemonic.Scasd or Mnemonic.Scasq:
                mayNotWrite = instruction.HasRepPrefix || instruction.HasRepnePrefix;
                return RflagsBits.None;
            default:
                return RflagsBits.None;
        }
    }

    private void Merge(int index)
    {
        for (int i = 0; i < _pendingCount;)
        {
            if (_pending[i].Target > index)
            {
                i++;
                continue;
            }

            Join(ref _pending[i]);
            _pending[i] = _pending[--_pendingCount];
        }
    }

    private void Join(ref Snapshot other)
    {
        uint known = _now.Known & other.Known;
        for (int i = 0; i < 16; i++)
        {
            if (_now.Values[i] != other.Values[i])
            {
                known &= ~(1u << i);
            }
        }

        _now.Known = known;
        _now.Undefined |= other.Undefined;
        _now.UndefinedStatus |= other.UndefinedStatus;
        _now.Masked &= other.Masked;
        _now.X87Masked &= other.X87Masked;
        _now.Last = default;
        _now.LabelRegister = Register.None;
        _now.LabelPushed = false;
        _now.FlagsPushed = false;
        _now.DirectionKnown &= other.DirectionKnown && _now.Backward == other.Backward;
    }

    private struct Snapshot
    {
        public Registers Values;
        public uint Known;
        public RflagsBits Undefined;
        public ushort UndefinedStatus;
        public Instruction Last;
        /// <summary>Holds the address of instruction <see cref="LabelTarget"/>.</summary>
        public Register LabelRegister;
        public int LabelTarget;
        /// <summary>… and so does the top of the stack.</summary>
        public bool LabelPushed;
        public bool DirectionKnown;
        public bool Backward;
        /// <summary>MXCSR masks all exceptions.</summary>
        public bool Masked;
        public bool X87Masked;
        /// <summary>The top of the stack is <see cref="Pushed"/>, which POPF may load.</summary>
        public bool FlagsPushed;
        public uint Pushed;
        public int Target;
    }
}
