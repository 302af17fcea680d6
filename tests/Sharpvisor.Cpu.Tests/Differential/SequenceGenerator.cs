// Makes a random sequence and its initial state from a seed. An instruction's operands follow Iced's operand kinds, so a
// new instruction needs no code here unless it has a register contract of its own (string, stack, divide, bit string).
using Iced.Intel;

namespace Sharpvisor.Cpu.Tests.Differential;

internal sealed unsafe class SequenceGenerator(InstructionCatalog catalog, Arena arena)
{
    private const int MaximumInstructions = 16;
    private const int Attempts = 12;

    private static readonly int[] s_weights = [18, 10, 10, 8, 5, 6, 5, 5, 6, 7, 2, 14, 8, 12, 14, 1];

    private readonly SequenceTracker _tracker = new(arena.Buffer);
    private readonly OperandPicker _operands = new(arena.Buffer);
    private readonly int[] _weights = new int[InstructionCatalog.ClassCount];
    private Sequence _sequence = null!;
    private SplitMix _random;

    public void Generate(ulong seed, Sequence sequence)
    {
        _sequence = sequence;
        _random = new SplitMix(seed);
        sequence.Seed = seed;
        sequence.Count = 0;
        InitialState.Fill(ref _random, ref sequence.Initial, arena);
        sequence.MemoryOffset = _random.Below(MemoryPool.Windows / 8) * 8;
        _tracker.Begin(ref sequence.Initial);
        ChooseWeights();

        int length = 1 + _random.Below(MaximumInstructions);
        for (int i = 0; i < length; i++)
        {
            if (_random.Below(150) == 0)
            {
                AddPatch();
            }
            else
            {
                AddOne();
            }
        }

        Finish(sequence, _tracker);
    }

    /// <summary>Checks a sequence that was changed by hand, and works out its undefined flags. False: it must not run.</summary>
    public bool Verify(Sequence sequence)
    {
        _tracker.Begin(ref sequence.Initial);
        for (int i = 0; i < sequence.Count; i++)
        {
            if (!_tracker.TryAdd(sequence.Items[i]) || !PatchesFit(sequence, i))
            {
                return false;
            }
        }

        Finish(sequence, _tracker);
        return true;
    }

    private static bool PatchesFit(Sequence sequence, int index)
    {
        int target = (int)(sequence.Items[index].MemoryDisplacement64 & 0xFF);
        return !SequenceTracker.IsPatch(sequence.Items[index])
            || (target < sequence.Count && SequenceTracker.IsPatchable(sequence.Items[target]));
    }

    private static void Finish(Sequence sequence, SequenceTracker tracker)
    {
        tracker.End();
        sequence.UndefinedAtEnd = tracker.Undefined;
        sequence.UndefinedAnywhere = tracker.UndefinedAnywhere | tracker.Undefined;
        sequence.UndefinedStatusAtEnd = tracker.UndefinedStatus;
        sequence.UndefinedStatusAnywhere = tracker.UndefinedStatusAnywhere;
        for (int i = 0; i < sequence.Count; i++)
        {
            if (SequenceTracker.IsBranch(sequence.Items[i]) && sequence.Items[i].NearBranch64 > (ulong)sequence.Count)
            {
                sequence.Items[i].NearBranch64 = (ulong)sequence.Count;
            }

            if (SequenceTracker.IsLabelLoad(sequence.Items[i]))
            {
                ulong target = sequence.Items[i].MemoryDisplacement64 & 0xFF;
                sequence.Items[i].MemoryDisplacement64 = SequenceTracker.Label | Math.Min(target, (ulong)sequence.Count);
            }
        }
    }

    // A sequence has one or two themes, so that x87 or SSE instructions meet each other's results.
    private void ChooseWeights()
    {
        int theme = _random.Below(_weights.Length);
        int second = _random.Below(_weights.Length);
        for (int i = 0; i < _weights.Length; i++)
        {
            _weights[i] = s_weights[i] + (i == theme ? 150 : 0) + (i == second ? 60 : 0);
        }
    }

    private InstructionClass ChooseClass()
    {
        int total = 0;
        foreach (int weight in _weights)
        {
            total += weight;
        }

        int pick = _random.Below(total);
        int index = 0;
        while (pick >= _weights[index])
        {
            pick -= _weights[index++];
        }

        return (InstructionClass)index;
    }

    private void AddOne()
    {
        for (int attempt = 0; attempt < Attempts; attempt++)
        {
            Code code = catalog.Pick(ChooseClass(), ref _random);
            if (code == Code.INVALID || _sequence.Count > Sequence.Capacity - 8)
            {
                continue;
            }

            if (!_operands.TryFill(code, _tracker, ref _random, out Instruction instruction))
            {
                continue;
            }

            Prepare(ref instruction);
            if (TryAppend(instruction))
            {
                return;
            }
        }
    }

    // An instruction, and before it, with or without others between, a store that changes its immediate.
    private void AddPatch()
    {
        if (_sequence.Count > Sequence.Capacity - 40)
        {
            return;
        }

        var patch = default(Instruction);
        patch.Code = Code.Mov_rm32_imm32;
        patch.SetOpKind(0, OpKind.Memory);
        patch.MemoryBase = Register.RIP;
        patch.MemoryIndexScale = 1;
        patch.MemoryDisplSize = 8;
        patch.MemoryDisplacement64 = SequenceTracker.Label | 0xFF;
        patch.SetOpKind(1, OpKind.Immediate32);
        patch.Immediate32 = (uint)InterestingValues.Integer(ref _random);
        int at = _sequence.Count;
        Append(patch);
        for (int i = _random.Below(4); i > 0; i--)
        {
            AddOne();
        }

        Register register = OperandPicker.Gpr(4, _random.Below(16) & ~4);
        Append(Instruction.Create(Code.Add_rm32_imm32, register, (int)_random.Next()));
        _sequence.Items[at].MemoryDisplacement64 = SequenceTracker.Label | (uint)(_sequence.Count - 1);
    }

    private bool TryAppend(in Instruction instruction)
    {
        if (!_tracker.TryAdd(instruction))
        {
            return false;
        }

        _sequence.Items[_sequence.Count++] = instruction;
        return true;
    }

    // Puts in front what the instruction needs: pointers for string and stack instructions, defined flags, a dividend.
    private void Prepare(ref Instruction instruction)
    {
        if ((instruction.RflagsRead & _tracker.Undefined) != 0)
        {
            // ADD r/m32, r32 writes all six.
            Append(Instruction.Create(Code.Add_rm32_r32, OperandPicker.Gpr(4, _random.Below(16) & ~4), Register.EDX));
        }

        if (instruction.IsStringInstruction)
        {
            PrepareString(instruction);
            return;
        }

        if (instruction.IsStackInstruction && !PointsIntoBuffer(4, 64))
        {
            ulong rsp = arena.Buffer + 128 + ((ulong)_random.Below((Arena.BufferBytes - 256) / 8) * 8);
            Append(Instruction.Create(Code.Mov_r64_imm64, Register.RSP, rsp));
        }

        if (SequenceTracker.IsIndirect(instruction))
        {
            PrepareIndirect(ref instruction);
            return;
        }

        switch (instruction.Mnemonic)
        {
            case Mnemonic.Div or Mnemonic.Idiv:
                PrepareDivide(instruction);
                break;
            case Mnemonic.Cmpxchg or Mnemonic.Cmpxchg8b or Mnemonic.Cmpxchg16b when instruction.Op0Kind == OpKind.Memory:
                PrepareExchange(instruction);
                break;
            case Mnemonic.Popf or Mnemonic.Popfq:
                Append(Instruction.Create(Code.Pushq_imm32, (int)(_random.Next() & SequenceTracker.SafeFlags)));
                break;
            case Mnemonic.Ldmxcsr:
                PrepareMxcsr(instruction);
                break;
            case Mnemonic.Xlatb:
                Append(Instruction.Create(Code.Mov_r64_imm64, Register.RAX, InterestingValues.Integer(ref _random)));
                Append(Instruction.Create(Code.Mov_r64_imm64, Register.RBX, _operands.Target(256, 1, ref _random)));
                break;
            case Mnemonic.Maskmovq or Mnemonic.Maskmovdqu when !PointsIntoBuffer(7, 16):
                Append(Instruction.Create(Code.Mov_r64_imm64, Register.RDI, _operands.Target(16, 1, ref _random)));
                break;
            case Mnemonic.Leave when !PointsIntoBuffer(5, 16):
                Append(Instruction.Create(Code.Mov_r64_imm64, Register.RBP, _operands.Target(8, 1, ref _random)));
                break;
            case Mnemonic.Shld or Mnemonic.Shrd when instruction.Op2Kind == OpKind.Register && instruction.Op1Register.GetSize() == 2:
                Append(Instruction.Create(Code.Mov_r32_imm32, Register.ECX, (uint)_random.Below(17)));
                break;
            case Mnemonic.Bt or Mnemonic.Bts or Mnemonic.Btr or Mnemonic.Btc
                when instruction.Op0Kind == OpKind.Memory && instruction.Op1Kind == OpKind.Register:
                PrepareBitString(instruction);
                break;
        }
    }

    private void PrepareIndirect(ref Instruction instruction)
    {
        bool returns = instruction.Mnemonic == Mnemonic.Ret;
        int number = _random.Below(16) & ~4;
        Register register = OperandPicker.Gpr(8, number);
        var load = default(Instruction);
        load.Code = Code.Lea_r64_m;
        load.SetOpKind(0, OpKind.Register);
        load.SetOpRegister(0, register);
        load.SetOpKind(1, OpKind.Memory);
        load.MemoryBase = Register.RIP;
        load.MemoryIndexScale = 1;
        load.MemoryDisplSize = 8;
        load.MemoryDisplacement64 = SequenceTracker.Label + (uint)(_tracker.Index + (returns ? 3 : 2) + _random.Below(4));
        Append(load);
        if (returns)
        {
            Append(Instruction.Create(Code.Push_r64, register));
        }
        else
        {
            instruction.SetOpKind(0, OpKind.Register);
            instruction.SetOpRegister(0, register);
        }
    }

    private void PrepareMxcsr(in Instruction instruction)
    {
        Instruction store = instruction;
        store.Code = Code.Mov_rm32_imm32;
        store.SetOpKind(1, OpKind.Immediate32);
        uint value = (uint)_random.Next() & 0xFFFF;
        store.Immediate32 = _random.Below(20) switch
        {
            0 => value,
            1 => value | 0x1_0000,
            _ => value | 0x1F80,
        };
        Append(store);
    }

    // Stores the comparand first, half of the time: by chance the comparison would never succeed.
    private void PrepareExchange(in Instruction instruction)
    {
        if (_random.Percent(50))
        {
            return;
        }

        Instruction store = instruction;
        store.HasLockPrefix = false;
        int size = instruction.MemorySize.GetSize();
        bool wide = instruction.Mnemonic != Mnemonic.Cmpxchg;
        size = wide ? size / 2 : size;
        store.Code = size switch { 1 => Code.Mov_rm8_r8, 2 => Code.Mov_rm16_r16, 4 => Code.Mov_rm32_r32, _ => Code.Mov_rm64_r64 };
        store.SetOpKind(1, OpKind.Register);
        store.SetOpRegister(1, OperandPicker.Gpr(size, 0));
        Append(store);
        if (wide && store.MemoryDisplSize >= 4)
        {
            store.SetOpRegister(1, OperandPicker.Gpr(size, 2));
            store.MemoryDisplacement64 += (ulong)size;
            Append(store);
        }
    }

    private void PrepareBitString(in Instruction instruction)
    {
        Register register = instruction.Op1Register.GetFullRegister();
        if (register == instruction.MemoryBase.GetFullRegister() || register == instruction.MemoryIndex.GetFullRegister())
        {
            return;
        }

        long offset = _random.Below(2000) - 1000;
        Append(Instruction.Create(Code.Mov_r64_imm64, register, offset));
    }

    private void PrepareDivide(in Instruction instruction)
    {
        // Without help most quotients overflow, and the sequence ends in #DE.
        if (_random.Percent(15))
        {
            return;
        }

        int size = instruction.Op0Kind == OpKind.Register ? instruction.Op0Register.GetSize() : instruction.MemorySize.GetSize();
        if (size == 1)
        {
            Append(Instruction.Create(Code.Cbw));
        }
        else if (instruction.Mnemonic == Mnemonic.Idiv)
        {
            Append(Instruction.Create(size switch { 2 => Code.Cwd, 4 => Code.Cdq, _ => Code.Cqo }));
        }
        else
        {
            Append(Instruction.Create(Code.Mov_r32_imm32, Register.EDX, (uint)(_random.Percent(60) ? 0 : _random.Below(64))));
        }
    }

    private void PrepareString(in Instruction instruction)
    {
        bool repeat = instruction.HasRepPrefix || instruction.HasRepnePrefix;
        int size = Math.Max(instruction.MemorySize.GetSize(), 1);
        if (repeat && (!_tracker.IsKnown(1) || _tracker.Value(1) > 64 || _random.Percent(70)))
        {
            int most = _random.Percent(15) ? SequenceTracker.MaximumRepeat : 24;
            Append(Instruction.Create(Code.Mov_r64_imm64, Register.RCX, (ulong)_random.Below(most)));
        }

        int span = repeat && _tracker.IsKnown(1) ? (int)Math.Min(_tracker.Value(1), SequenceTracker.MaximumRepeat) * size : size;
        for (int i = 0; i < instruction.OpCount; i++)
        {
            OpKind kind = instruction.GetOpKind(i);
            int register = kind switch
            {
                OpKind.MemorySegESI or OpKind.MemorySegRSI => 6,
                OpKind.MemoryESEDI or OpKind.MemoryESRDI => 7,
                _ => -1,
            };
            if (register >= 0 && (!PointsIntoBuffer(register, span + 8) || _random.Percent(50)))
            {
                if (register == 7 && _tracker.IsKnown(6) && _random.Percent(25))
                {
                    // Equal pointers: a repeated comparison that goes on.
                    Append(Instruction.Create(Code.Mov_r64_imm64, Register.RDI, _tracker.Value(6)));
                    continue;
                }

                ulong at = arena.Buffer + (ulong)span + (ulong)_random.Below(Math.Max(Arena.BufferBytes - (2 * span) - 8, 1));
                Append(Instruction.Create(Code.Mov_r64_imm64, OperandPicker.Gpr(8, register), at));
            }
        }
    }

    private void Append(in Instruction instruction) => _ = TryAppend(instruction);

    private bool PointsIntoBuffer(int gpr, int margin) =>
        _tracker.IsKnown(gpr) && _tracker.Value(gpr) >= arena.Buffer + (ulong)margin
        && _tracker.Value(gpr) <= arena.Buffer + Arena.BufferBytes - (ulong)margin;
}
