// One case for each interpreter bug that the random sequences found, compared with the host CPU again.
using System.Runtime.CompilerServices;
using Iced.Intel;
using Sharpvisor.Cpu.Interpreter;
using Xunit;

namespace Sharpvisor.Cpu.Tests.Differential;

[Collection(nameof(DifferentialCollection))]
public sealed unsafe class FoundByComparisonTests : IDisposable
{
    private const ushort EmptyUnmaskedInvalid = 0x37E;

    private readonly Arena _arena = Arena.Acquire();
    private readonly DifferentialCampaign _campaign;
    private readonly Sequence _sequence = new();

    public FoundByComparisonTests()
    {
        var guest = new GuestRunner("interpreter", _arena, new InterpreterEngineFactory());
        _campaign = new DifferentialCampaign(_arena, new InstructionCatalog(guest.Cpuid), new HostRunner(_arena), guest);
        _sequence.Initial.RFlags = 0x202;
        Word(MachineState.FxFcw) = 0x37F;
        Word(MachineState.FxMxcsr) = 0x1F80;
        _sequence.Initial.Gpr[3] = _arena.Buffer + Arena.BufferBytes;
        _sequence.Initial.Gpr[4] = _arena.Buffer + 256;
        _sequence.Initial.Gpr[7] = _arena.Buffer + 16;
    }

    [Theory]
    [InlineData(Code.Not_rm32, 4, -2)]
    [InlineData(Code.Inc_rm64, 8, -7)]
    [InlineData(Code.Cmpxchg8b_m64, 8, -1)]
    public void A_locked_operand_into_an_unmapped_page_reports_that_page(Code code, int bytes, int offset)
    {
        Assert.InRange(-offset, 1, bytes - 1);
        Add(Memory(code, offset), locked: true);
        Agree();
    }

    [Theory]
    [InlineData(Code.Fstp_m80fp, -1)]
    [InlineData(Code.Fstp_m80fp, -9)]
    [InlineData(Code.Fbstp_m80bcd, -1)]
    public void A_ten_byte_store_faults_at_its_first_unmapped_byte(Code code, int offset)
    {
        _sequence.Initial.Fx[MachineState.FxFtw] = 0xFF;
        Add(Memory(code, offset));
        Agree();
    }

    [Theory]
    [InlineData(Code.Fst_m32fp)]
    [InlineData(Code.Fistp_m64int)]
    [InlineData(Code.Fstp_m80fp)]
    [InlineData(Code.Fbstp_m80bcd)]
    public void A_store_that_an_unmasked_exception_stops_still_faults(Code code)
    {
        Word(MachineState.FxFcw) = EmptyUnmaskedInvalid;
        Add(Memory(code, -1));
        Agree();
    }

    [Fact]
    public void Unmasked_underflow_is_inexact_only_when_the_significand_is()
    {
        // FZ, round down, UM clear: exact at an unlimited exponent, so UE without PE.
        Word(MachineState.FxMxcsr) = 0xB700;
        Lane(3) = 0x0080_0001;
        Lane(4) = 0x3F00_0000;
        Add(Instruction.Create(Code.Mulss_xmm_xmmm32, Register.XMM3, Register.XMM4));
        Agree();
    }

    [Theory]
    [InlineData(0UL)]
    [InlineData(0x8080_0000_0000_0080UL)]
    public void A_masked_store_writes_the_bytes_its_mask_selects(ulong mask)
    {
        Lane(1) = mask;
        Unsafe.WriteUnaligned(ref _sequence.Initial.Fx[MachineState.FxXmm + 24], mask);
        var instruction = default(Instruction);
        instruction.Code = Code.Maskmovdqu_rDI_xmm_xmm;
        instruction.SetOpKind(0, OpKind.MemorySegRDI);
        instruction.SetOpKind(1, OpKind.Register);
        instruction.SetOpRegister(1, Register.XMM0);
        instruction.SetOpKind(2, OpKind.Register);
        instruction.SetOpRegister(2, Register.XMM1);
        Add(instruction);
        Agree();
    }

    public void Dispose() => _campaign.Dispose();

    private static Instruction Memory(Code code, int offset)
    {
        var instruction = default(Instruction);
        instruction.Code = code;
        instruction.SetOpKind(0, OpKind.Memory);
        instruction.MemoryBase = Register.RBX;
        instruction.MemoryIndexScale = 1;
        instruction.MemoryDisplSize = 8;
        instruction.MemoryDisplacement64 = (ulong)offset;
        return instruction;
    }

    private void Add(Instruction instruction, bool locked = false)
    {
        instruction.HasLockPrefix = locked;
        _sequence.Items[_sequence.Count++] = instruction;
    }

    private void Agree()
    {
        Mismatch? mismatch = _campaign.RunOne(_sequence);
        Assert.True(mismatch is null, mismatch?.Report);
    }

    private ref ushort Word(int offset) => ref Unsafe.As<byte, ushort>(ref _sequence.Initial.Fx[offset]);

    private ref ulong Lane(int register) => ref Unsafe.As<byte, ulong>(ref _sequence.Initial.Fx[MachineState.FxXmm + (register * 16)]);
}
