// The hypercall interface of one VP (TLFS "Hypercall Interface"): calling conventions, validation of the input value, and
// fetching the input parameter block. Parameters are copied once; nothing reads guest memory afterwards.
using System.Buffers.Binary;
using System.Globalization;
using Sharpvisor.Core;

namespace Sharpvisor.Hypervisor;

internal sealed partial class HypercallDispatcher
{
    private const int RegisterBytes = 16;
    private const int XmmInputRegisters = 6;
    private const int MaxFastBytes = RegisterBytes + (XmmInputRegisters * 16);
    private const int MaxVariableBytes = 64 * 8;
    private readonly Partition _partition;
    private readonly VirtualProcessor _processor;
    private readonly VpRegisters _registers;
    private readonly InterceptCounters _counters;

    // Header and variable header of the call in progress; only the VP's own thread uses it.
    private readonly byte[] _input = new byte[256 + MaxVariableBytes];

    public HypercallDispatcher(Partition partition, VirtualProcessor processor, InterceptCounters counters)
    {
        _partition = partition;
        _processor = processor;
        _registers = processor.Registers;
        _counters = counters;
    }

    /// <summary>VMCALL. False: #UD (no guest OS id yet, not in protected mode, or not at CPL 0).</summary>
    public bool Call()
    {
        ref VpState state = ref _registers.State;
        if (!_partition.Shared.HypercallsEnabled || state.Cpl != 0 || (state.Cr0 & 1) == 0)
        {
            return false;
        }

        ulong control;
        ulong input1;
        ulong input2;
        bool is64 = _registers.Is64BitCode;
        if (is64)
        {
            control = _registers[Gpr.Rcx];
            input1 = _registers[Gpr.Rdx];
            input2 = _registers[Gpr.R8];
        }
        else
        {
            control = Pair(Gpr.Rdx, Gpr.Rax);
            input1 = Pair(Gpr.Rbx, Gpr.Rcx);
            input2 = Pair(Gpr.Rdi, Gpr.Rsi);
        }

        var value = new HypercallInput(control);
        _counters.CountHypercall(value.Code);
        ushort status = Validate(value, out CallShape shape);
        if (status == HvStatus.Success)
        {
            status = FetchInput(value, shape, input1, input2);
        }

        if (status == HvStatus.Success)
        {
            status = Execute(value, input1, input2);
        }

        // Flushes act on the whole TLB and hints are only hints, so all reps are done at once or none.
        int completed = status == HvStatus.Success ? value.RepCount : value.RepStart;
        ulong result = status | ((ulong)completed << 32);
        if (is64)
        {
            _registers[Gpr.Rax] = result;
        }
        else
        {
            _registers[Gpr.Rax] = (uint)result;
            _registers[Gpr.Rdx] = (uint)(result >> 32);
        }

        if (_partition.IsTracing)
        {
            Trace(value, input1, status);
        }

        return true;
    }

    private static ushort Validate(HypercallInput value, out CallShape shape)
    {
        shape = ShapeOf(value.Code);
        if (shape.HeaderBytes < 0)
        {
            return HvStatus.InvalidHypercallCode;
        }

        bool repsValid = shape.IsRep
            ? value.RepCount != 0 && value.RepStart < value.RepCount
            : value.RepCount == 0 && value.RepStart == 0;
        return value.HasReservedBits || !repsValid || (value.VariableBytes != 0 && !shape.HasVariableHeader)
            ? HvStatus.InvalidHypercallInput
            : HvStatus.Success;
    }

    /// <summary>Copies header and variable header into <see cref="_input"/>; rep elements only have to fit.</summary>
    private ushort FetchInput(HypercallInput value, CallShape shape, ulong input1, ulong input2)
    {
        int header = shape.HeaderBytes + value.VariableBytes;
        int total = header + (value.RepCount * sizeof(ulong));
        if (value.VariableBytes > MaxVariableBytes)
        {
            return HvStatus.InvalidHypercallInput;
        }

        Span<byte> destination = _input.AsSpan(0, header);
        if (!value.IsFast)
        {
            ulong offset = input1 & (GuestMemory.PageBytes - 1);
            return (input1 & 7) != 0 || offset + (uint)total > GuestMemory.PageBytes
                || !_partition.Memory.TryRead(input1, destination)
                ? HvStatus.InvalidAlignment
                : HvStatus.Success;
        }

        if (total > MaxFastBytes)
        {
            return HvStatus.InvalidHypercallInput;
        }

        Span<byte> block = stackalloc byte[MaxFastBytes];
        BinaryPrimitives.WriteUInt64LittleEndian(block, input1);
        BinaryPrimitives.WriteUInt64LittleEndian(block[8..], input2);
        for (int i = 0; RegisterBytes + (i * 16) < header; i++)
        {
            _registers.ReadXmm(i, block[(RegisterBytes + (i * 16))..]);
        }

        block[..header].CopyTo(destination);
        return HvStatus.Success;
    }

    private ushort Execute(HypercallInput value, ulong input1, ulong input2) => (HypercallCode)value.Code switch
    {
        HypercallCode.PostMessage => PostMessage(),
        HypercallCode.SignalEvent => SignalEvent(),
        HypercallCode.FlushVirtualAddressSpace or HypercallCode.FlushVirtualAddressList => Flush(),
        HypercallCode.FlushVirtualAddressSpaceEx or HypercallCode.FlushVirtualAddressListEx => FlushEx(value.VariableBytes),
        HypercallCode.SendSyntheticClusterIpi => SendIpi(),
        HypercallCode.SendSyntheticClusterIpiEx => SendIpiEx(value.VariableBytes),
        HypercallCode.NotifyLongSpinWait => NotifyLongSpinWait(),
        HypercallCode.RetargetInterrupt => RetargetInterrupt(value.VariableBytes),
        HypercallCode.ExtQueryCapabilities => QueryExtendedCapabilities(value, input2),
        HypercallCode.ExtMemoryHeatHint => HintMemoryHeat(value, input1),
        _ => HvStatus.InvalidHypercallCode,
    };

    private static CallShape ShapeOf(ushort code) => (HypercallCode)code switch
    {
        HypercallCode.PostMessage => new CallShape(16 + Synic.MaxPayloadBytes, false, false),
        HypercallCode.SignalEvent => new CallShape(8, false, false),
        HypercallCode.FlushVirtualAddressSpace => new CallShape(24, false, false),
        HypercallCode.FlushVirtualAddressList => new CallShape(24, true, false),
        HypercallCode.FlushVirtualAddressSpaceEx => new CallShape(32, false, true),
        HypercallCode.FlushVirtualAddressListEx => new CallShape(32, true, true),
        HypercallCode.SendSyntheticClusterIpi => new CallShape(16, false, false),
        HypercallCode.SendSyntheticClusterIpiEx => new CallShape(24, false, true),
        HypercallCode.NotifyLongSpinWait => new CallShape(8, false, false),
        HypercallCode.RetargetInterrupt => new CallShape(56, false, true),
        HypercallCode.ExtQueryCapabilities => new CallShape(0, false, false),
        HypercallCode.ExtMemoryHeatHint => new CallShape(8, true, false),
        _ => new CallShape(-1, false, false),
    };

    private ulong Pair(Gpr high, Gpr low) => ((ulong)(uint)_registers[high] << 32) | (uint)_registers[low];

    private ulong Qword(int offset) => BinaryPrimitives.ReadUInt64LittleEndian(_input.AsSpan(offset));

    private uint Dword(int offset) => BinaryPrimitives.ReadUInt32LittleEndian(_input.AsSpan(offset));

    private void Trace(HypercallInput value, ulong input1, ushort status)
    {
        string name = HypercallNames.Of(value.Code) ?? value.Code.ToString("x4", CultureInfo.InvariantCulture);
        _processor.Trace(string.Create(
            CultureInfo.InvariantCulture, $"hypercall {name} input 0x{input1:x} reps {value.RepCount} status 0x{status:x}"));
    }

    /// <summary>The fixed part of a call's input; a negative header: no such call.</summary>
    private readonly record struct CallShape(int HeaderBytes, bool IsRep, bool HasVariableHeader);
}
