// The mouse's open channel: one version, the HID descriptors, then input reports (drivers/hid/hid-hyperv.c, "synthhid").
using System.Buffers.Binary;
using Sharpvisor.Core;
using Sharpvisor.VMBus;

namespace Sharpvisor.Vsp.Input;

internal sealed class MouseChannel(MouseVsp vsp) : IChannelHandler
{
    // enum synthhid_msg_type.
    private const uint ProtocolRequest = 0;
    private const uint ProtocolResponse = 1;
    private const uint InitialDeviceInfo = 2;
    private const uint InitialDeviceInfoAck = 3;
    private const uint InputReport = 4;

    // SYNTHHID_INPUT_VERSION: 2.0.
    private const uint Version = 0x0002_0000;
    private const int QueueLimit = 32;

    private readonly Lock _gate = new();
    private readonly OutgoingMessages _outgoing = new(QueueLimit);
    private bool _active;
    private PointerState? _late;

    public bool IsActive
    {
        get
        {
            lock (_gate)
            {
                return _active;
            }
        }
    }

    public void OnOpened(VmbusChannel channel)
    {
        lock (_gate)
        {
            _outgoing.Open(channel);
        }
    }

    public bool OnPacket(VmbusChannel channel, in IncomingPacket packet)
    {
        if (!PipeMessage.TryParse(packet, out uint type, out ReadOnlySpan<byte> body))
        {
            return true;
        }

        lock (_gate)
        {
            switch (type)
            {
                case ProtocolRequest when body.Length >= 4:
                    AnswerVersion(BinaryPrimitives.ReadUInt32LittleEndian(body));
                    break;
                case InitialDeviceInfoAck:
                    _active = true;
                    break;
                default:
                    break;
            }
        }

        return true;
    }

    public void OnWritable(VmbusChannel channel)
    {
        lock (_gate)
        {
            _outgoing.Drain();
            if (_outgoing.IsEmpty && _late is { } state)
            {
                _late = null;
                Send(state);
            }
        }
    }

    public void OnClosed(VmbusChannel channel)
    {
        lock (_gate)
        {
            _active = false;
            _late = null;
            _outgoing.Close();
        }

        vsp.ChannelClosed(this);
    }

    public void Report(PointerState state)
    {
        lock (_gate)
        {
            if (_active)
            {
                Send(_late is { } late ? state with { Wheel = Add(late.Wheel, state.Wheel) } : state);
            }
        }
    }

    private void AnswerVersion(uint version)
    {
        bool accepted = version == Version;
        byte[] response = PipeMessage.Create(ProtocolResponse, 5, 5);
        BinaryPrimitives.WriteUInt32LittleEndian(response.AsSpan(PipeMessage.HeaderBytes), version);
        response[^1] = accepted ? (byte)1 : (byte)0;
        _active = false;
        if (_outgoing.TrySend(response) && accepted)
        {
            // mousevsc_connect_to_vsp waits for the response first and for the device's description next.
            ReadOnlySpan<byte> description = MouseDescription.DeviceInfo;
            byte[] info = PipeMessage.Create(InitialDeviceInfo, description.Length, description.Length);
            description.CopyTo(info.AsSpan(PipeMessage.HeaderBytes));
            _ = _outgoing.TrySend(info);
        }
    }

    private void Send(PointerState state)
    {
        byte[] report = PipeMessage.Create(InputReport, MouseDescription.ReportBytes, MouseDescription.ReportBytes);
        MouseDescription.WriteReport(report.AsSpan(PipeMessage.HeaderBytes), state);
        _late = _outgoing.TrySend(report) ? null : state;
    }

    private static sbyte Add(sbyte a, sbyte b) => (sbyte)Math.Clamp(a + b, sbyte.MinValue, sbyte.MaxValue);
}
