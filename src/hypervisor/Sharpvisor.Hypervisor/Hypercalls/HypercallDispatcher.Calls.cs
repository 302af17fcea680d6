// The hypercalls themselves (TLFS, "Hypercall Reference"). Input has been copied and has the right size.
using System.Numerics;

namespace Sharpvisor.Hypervisor;

internal sealed partial class HypercallDispatcher
{
    private const ulong FlushAllProcessors = 1;
    private const ulong FlushKnownFlags = 0xF;
    private const uint FirstVector = 0x10;
    private const uint LastVector = 0xFF;
    private const ulong SetFormatSparse = 0;
    private const ulong SetFormatAll = 1;

    /// <summary>HvCallPostMessage: connection, padding, message type, payload size, payload.</summary>
    private ushort PostMessage()
    {
        uint connection = Dword(0);
        uint type = Dword(8);
        uint size = Dword(12);
        if (type == 0 || (type & 0x8000_0000) != 0 || size > Synic.MaxPayloadBytes)
        {
            return HvStatus.InvalidParameter;
        }

        return _partition.Ports.Post(connection, type, _input.AsSpan(16, (int)size));
    }

    /// <summary>HvCallSignalEvent: connection, flag number, reserved.</summary>
    private ushort SignalEvent()
    {
        uint connection = Dword(0);
        uint flag = Dword(4) & 0xFFFF;
        return flag >= Synic.EventFlagCount
            ? HvStatus.InvalidParameter
            : _partition.Ports.Signal(connection, (ushort)flag);
    }

    /// <summary>HvCallFlushVirtualAddressSpace and List: address space, flags, processor mask.</summary>
    private ushort Flush()
    {
        ulong flags = Qword(8);
        if ((flags & ~FlushKnownFlags) != 0)
        {
            return HvStatus.InvalidParameter;
        }

        FlushTlbs((flags & FlushAllProcessors) != 0 ? ulong.MaxValue : Qword(16));
        return HvStatus.Success;
    }

    /// <summary>The Ex forms: address space, flags, HV_VP_SET.</summary>
    private ushort FlushEx(int variableBytes)
    {
        ulong flags = Qword(8);
        if ((flags & ~FlushKnownFlags) != 0)
        {
            return HvStatus.InvalidParameter;
        }

        ulong processors = ulong.MaxValue;
        if ((flags & FlushAllProcessors) == 0 && !TryReadProcessorSet(16, variableBytes, out processors))
        {
            return HvStatus.InvalidParameter;
        }

        FlushTlbs(processors);
        return HvStatus.Success;
    }

    /// <summary>HvCallSendSyntheticClusterIpi: vector, target VTL, processor mask.</summary>
    private ushort SendIpi()
    {
        if (!IsIpiValid())
        {
            return HvStatus.InvalidParameter;
        }

        SendVector((byte)Dword(0), Qword(8));
        return HvStatus.Success;
    }

    private ushort SendIpiEx(int variableBytes)
    {
        if (!IsIpiValid() || !TryReadProcessorSet(8, variableBytes, out ulong processors))
        {
            return HvStatus.InvalidParameter;
        }

        SendVector((byte)Dword(0), processors);
        return HvStatus.Success;
    }

    /// <summary>
    /// HvCallRetargetInterrupt: partition, device, interrupt entry (source, address and data of the message), reserved, target (vector,
    /// flags, then a processor mask or a HV_VP_SET whose part after the format is the variable header).
    /// </summary>
    private ushort RetargetInterrupt(int variableBytes)
    {
        const uint SourceMsi = 1;
        const uint Multicast = 1;
        const uint ProcessorSet = 2;
        uint flags = Dword(44);
        if (Qword(0) != ulong.MaxValue || Dword(16) != SourceMsi || (flags & ~(Multicast | ProcessorSet)) != 0)
        {
            return HvStatus.InvalidParameter;
        }

        ulong processors = Qword(48);
        if ((flags & ProcessorSet) != 0)
        {
            // The set's banks are part of the variable header: without any there are none to read.
            if (variableBytes < sizeof(ulong) || !TryReadProcessorSet(48, variableBytes - sizeof(ulong), out processors))
            {
                return HvStatus.InvalidParameter;
            }
        }
        else if (variableBytes != 0)
        {
            return HvStatus.InvalidHypercallInput;
        }

        return _partition.Redirection.Retarget(Qword(8), Dword(24), Dword(28), Dword(40), processors, (flags & Multicast) != 0)
            ? HvStatus.Success
            : HvStatus.InvalidParameter;
    }

    /// <summary>HvCallNotifyLongSpinWait: somebody else holds the lock, so let somebody else run.</summary>
    private static ushort NotifyLongSpinWait()
    {
        Thread.Yield();
        return HvStatus.Success;
    }

    /// <summary>Vector 16 to 255, and VTL 0, the only one.</summary>
    private bool IsIpiValid() => Dword(0) is >= FirstVector and <= LastVector && Dword(4) == 0;

    /// <summary>HV_VP_SET. VPs beyond the first bank do not exist; naming them is allowed and does nothing.</summary>
    private bool TryReadProcessorSet(int offset, int variableBytes, out ulong processors)
    {
        ulong format = Qword(offset);
        ulong banks = Qword(offset + 8);
        processors = ulong.MaxValue;
        if (format == SetFormatAll)
        {
            return true;
        }

        if (format != SetFormatSparse || BitOperations.PopCount(banks) * sizeof(ulong) != variableBytes)
        {
            return false;
        }

        processors = (banks & 1) != 0 ? Qword(offset + 16) : 0;
        return true;
    }

    private void FlushTlbs(ulong processors)
    {
        IReadOnlyList<VirtualProcessor> all = _partition.Processors;
        for (int i = 0; i < all.Count; i++)
        {
            if ((processors & (1UL << i)) != 0)
            {
                all[i].Engine.RequestTlbFlush();
            }
        }
    }

    private void SendVector(byte vector, ulong processors)
    {
        IReadOnlyList<VirtualProcessor> all = _partition.Processors;
        for (int i = 0; i < all.Count; i++)
        {
            if ((processors & (1UL << i)) != 0)
            {
                all[i].Apic.AcceptVector(vector);
            }
        }
    }
}
