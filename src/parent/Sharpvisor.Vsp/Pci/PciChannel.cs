// One guest driver on a virtual PCI bus: version, what is on the bus, power, interrupts, ejection.
using System.Buffers.Binary;
using System.Runtime.InteropServices;
using Sharpvisor.Core;
using Sharpvisor.VMBus;
using Sharpvisor.VMBus.Protocol;

namespace Sharpvisor.Vsp.Pci;

internal sealed class PciChannel(PciVsp vsp) : IChannelHandler
{
    private const int SlotOffset = 4;
    private const int MaxUnsent = 64;
    private const ulong HighestGpa = 1UL << 52;
    private readonly Queue<(PacketType Type, ulong TransactionId, byte[] Message)> _unsent = new();
    private readonly TaskCompletionSource _ejected = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly Lock _lock = new();
    private VmbusChannel? _channel;
    private uint _version;
    private ulong _windowGpa;
    private bool _inD0;
    private bool _isEjected;

    public void OnOpened(VmbusChannel channel)
    {
        lock (_lock)
        {
            _channel = channel;
        }
    }

    public bool OnPacket(VmbusChannel channel, in IncomingPacket packet)
    {
        if (_unsent.Count >= MaxUnsent)
        {
            // It reads no answers, so it gets no more of them; the room it makes goes on.
            return false;
        }

        if (packet.Type != PacketType.DataInBand || packet.Payload.Length < sizeof(uint))
        {
            return true;
        }

        ReadOnlySpan<byte> message = packet.Payload;
        byte[] answer = Execute(channel, (PciMessageType)BinaryPrimitives.ReadUInt32LittleEndian(message), message);
        if (packet.CompletionRequested)
        {
            Send(PacketType.Completion, packet.TransactionId, answer);
        }

        return true;
    }

    public void OnWritable(VmbusChannel channel)
    {
        lock (_lock)
        {
            while (_unsent.TryPeek(out (PacketType Type, ulong TransactionId, byte[] Message) next) && TryWrite(next.Type, next.TransactionId, next.Message))
            {
                _unsent.Dequeue();
            }
        }
    }

    public void OnClosed(VmbusChannel channel)
    {
        lock (_lock)
        {
            _channel = null;
            _unsent.Clear();
        }

        LeaveD0();
        _ejected.TrySetResult();
        vsp.ChannelClosed(this);
    }

    /// <summary>PCI_EJECT; ends when the guest says it is done, or goes.</summary>
    public Task EjectAsync()
    {
        lock (_lock)
        {
            // Before the guest has asked what there is, it has nothing to let go of; it would not know what to eject.
            if (_channel is null || !_inD0)
            {
                return Task.CompletedTask;
            }

            byte[] message = new byte[8];
            BinaryPrimitives.WriteUInt32LittleEndian(message, (uint)PciMessageType.Eject);
            Send(PacketType.DataInBand, 0, message);
        }

        return _ejected.Task;
    }

    private byte[] Execute(VmbusChannel channel, PciMessageType type, ReadOnlySpan<byte> message)
    {
        switch (type)
        {
            case PciMessageType.QueryProtocolVersion:
                return Negotiate(message);
            case PciMessageType.QueryBusRelations when _version != 0:
                Send(PacketType.DataInBand, 0, BusRelations());
                return Answer(PciStatus.Success);
            case PciMessageType.BusD0Entry when _version != 0:
                return Answer(EnterD0(channel, message));
            case PciMessageType.BusD0Exit:
                LeaveD0();
                return Answer(PciStatus.Success);
        }

        if (!IsFunction(message))
        {
            return Answer(PciStatus.InvalidParameter);
        }

        switch (type)
        {
            case PciMessageType.QueryResourceRequirements:
                byte[] answer = new byte[4 + (4 * vsp.ProbedBars.Length)];
                MemoryMarshal.AsBytes<uint>(vsp.ProbedBars).CopyTo(answer.AsSpan(4));
                return answer;
            case PciMessageType.ResourcesAssigned or PciMessageType.ResourcesAssigned2 or PciMessageType.ResourcesAssigned3:
                return Answer(_inD0 ? PciStatus.Success : PciStatus.InvalidDeviceState);
            case PciMessageType.ResourcesReleased:
                vsp.Interrupts.UnmapInterrupts(vsp.DeviceId);
                return Answer(PciStatus.Success);
            case PciMessageType.CreateInterrupt or PciMessageType.CreateInterrupt2 or PciMessageType.CreateInterrupt3:
                return CreateInterrupt(type, message);
            case PciMessageType.DeleteInterrupt or PciMessageType.DeleteInterrupt2:
                return Answer(DeleteInterrupt(message));
            case PciMessageType.PowerStateChange when message.Length >= 16:
                // Status, slot, the state it is in now.
                byte[] power = new byte[16];
                message.Slice(SlotOffset, 8).CopyTo(power.AsSpan(4));
                return power;
            case PciMessageType.EjectionComplete:
                _isEjected = true;
                _ejected.TrySetResult();
                return Answer(PciStatus.Success);
            default:
                return Answer(PciStatus.NotSupported);
        }
    }

    /// <summary>All messages about the function have its slot at the same place, but for configuration blocks, which it has none of.</summary>
    private bool IsFunction(ReadOnlySpan<byte> message) =>
        !_isEjected && message.Length >= 8 && BinaryPrimitives.ReadUInt32LittleEndian(message[SlotOffset..]) == 0;

    private byte[] Negotiate(ReadOnlySpan<byte> message)
    {
        if (message.Length < 8)
        {
            return Answer(PciStatus.InvalidParameter);
        }

        uint version = BinaryPrimitives.ReadUInt32LittleEndian(message[4..]);
        bool known = version is PciVersion.Win10 or PciVersion.Redstone1 or PciVersion.Vibranium or PciVersion.Server2022;
        _version = known ? version : _version;
        byte[] answer = Answer(known ? PciStatus.Success : PciStatus.RevisionMismatch);
        BinaryPrimitives.WriteUInt32LittleEndian(answer.AsSpan(4), known ? version : PciVersion.Server2022);
        return answer;
    }

    private byte[] BusRelations()
    {
        IPciEndpoint function = vsp.Function;
        var description = new PciFunctionDescription
        {
            Identity = function.ReadConfig(0, 4),
            RevisionAndClass = function.ReadConfig(8, 4),
            Subsystem = function.ReadConfig(0x2C, 4),
            SerialNumber = (uint)vsp.Index + 1,
        };
        bool extended = _version >= PciVersion.Server2022;
        ReadOnlySpan<byte> bytes = MemoryMarshal.AsBytes(new ReadOnlySpan<PciFunctionDescription>(in description));
        bytes = _isEjected ? [] : extended ? bytes : bytes[..PciFunctionDescription.Version1Bytes];
        byte[] message = new byte[8 + bytes.Length];
        BinaryPrimitives.WriteUInt32LittleEndian(message, (uint)(extended ? PciMessageType.BusRelations2 : PciMessageType.BusRelations));
        message[4] = _isEjected ? (byte)0 : (byte)1;
        bytes.CopyTo(message.AsSpan(8));
        return message;
    }

    private uint EnterD0(VmbusChannel channel, ReadOnlySpan<byte> message)
    {
        if (message.Length < 16)
        {
            return PciStatus.InvalidParameter;
        }

        // A crash kernel finds the bus as its predecessor left it; refused, it leaves D0 first (hv_pci_enter_d0).
        if (_inD0)
        {
            return PciStatus.InvalidDeviceState;
        }

        ulong window = BinaryPrimitives.ReadUInt64LittleEndian(message[8..]);
        ulong gpn = window >> GuestMemory.PageShift;
        if ((window & (GuestMemory.PageBytes - 1)) != 0 || window == 0 || window >= HighestGpa
            || channel.Memory.PageEntry(gpn) != 0 || channel.Memory.PageEntry(gpn + 1) != 0)
        {
            return PciStatus.InvalidParameter;
        }

        vsp.Bus.MapMmio(window, PciConfigWindow.Bytes, new PciConfigWindow(vsp.Function));
        _windowGpa = window;
        lock (_lock)
        {
            _inD0 = true;
        }

        return PciStatus.Success;
    }

    private void LeaveD0()
    {
        lock (_lock)
        {
            if (!_inD0)
            {
                return;
            }

            _inD0 = false;
        }

        vsp.Bus.UnmapMmio(_windowGpa, PciConfigWindow.Bytes);
        vsp.Function.PowerOff();
        vsp.Interrupts.UnmapInterrupts(vsp.DeviceId);
    }

    private byte[] CreateInterrupt(PciMessageType type, ReadOnlySpan<byte> message)
    {
        // struct hv_msi_desc: vector u8, mode u8, count u16, reserved, 64-bit mask; 2: vector u8, mode u8, count u16, processors u16, their
        // numbers; 3: vector u32, mode u8, reserved, count u16, and so on.
        const int Description = 8;
        bool wide = type == PciMessageType.CreateInterrupt3;
        int countOffset = Description + (wide ? 6 : 2);
        if (message.Length < Description + 16)
        {
            return Answer(PciStatus.InvalidParameter);
        }

        uint vector = wide ? BinaryPrimitives.ReadUInt32LittleEndian(message[Description..]) : message[Description];
        byte mode = message[Description + (wide ? 4 : 1)];
        ushort count = BinaryPrimitives.ReadUInt16LittleEndian(message[countOffset..]);
        ulong processors = type == PciMessageType.CreateInterrupt
            ? BinaryPrimitives.ReadUInt64LittleEndian(message[(Description + 8)..])
            : ReadProcessors(message[(countOffset + 2)..]);
        // Fixed or lowest priority delivery, and one vector a message: MSI-X (PCI 3.0, 6.8.2).
        if (!_inD0 || mode > 1 || count != 1 || vector > byte.MaxValue
            || !vsp.Interrupts.TryMapInterrupt(vsp.DeviceId, (byte)vector, processors, out MsiMessage interrupt))
        {
            return Answer(PciStatus.Unsuccessful);
        }

        var answer = new PciInterruptAnswer { VectorCount = count, Data = interrupt.Data, Address = interrupt.Address };
        return MemoryMarshal.AsBytes(new ReadOnlySpan<PciInterruptAnswer>(in answer)).ToArray();
    }

    private static ulong ReadProcessors(ReadOnlySpan<byte> list)
    {
        int count = Math.Min(BinaryPrimitives.ReadUInt16LittleEndian(list), (list.Length / 2) - 1);
        ulong mask = 0;
        for (int i = 1; i <= count; i++)
        {
            ushort processor = BinaryPrimitives.ReadUInt16LittleEndian(list[(i * 2)..]);
            mask |= processor < 64 ? 1UL << processor : 0;
        }

        return mask;
    }

    // struct tran_int_desc at offset 8.
    private uint DeleteInterrupt(ReadOnlySpan<byte> message)
    {
        if (message.Length < 24)
        {
            return PciStatus.InvalidParameter;
        }

        uint data = BinaryPrimitives.ReadUInt32LittleEndian(message[12..]);
        vsp.Interrupts.UnmapInterrupt(vsp.DeviceId, new MsiMessage(BinaryPrimitives.ReadUInt64LittleEndian(message[16..]), data));
        return PciStatus.Success;
    }

    private static byte[] Answer(uint status)
    {
        // Linux drops answers of four bytes (hv_pci_onchannelcallback).
        byte[] answer = new byte[8];
        BinaryPrimitives.WriteUInt32LittleEndian(answer, status);
        return answer;
    }

    private void Send(PacketType type, ulong transactionId, byte[] message)
    {
        lock (_lock)
        {
            if (_unsent.Count > 0 || !TryWrite(type, transactionId, message))
            {
                _unsent.Enqueue((type, transactionId, message));
            }
        }
    }

    private bool TryWrite(PacketType type, ulong transactionId, byte[] message) =>
        _channel is null || _channel.TryWritePacket(type, PacketFlags.None, transactionId, message) != RingWriteStatus.Full;
}
