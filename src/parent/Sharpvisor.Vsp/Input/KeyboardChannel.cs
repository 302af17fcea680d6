// The keyboard's open channel: one version, then keystrokes (drivers/input/serio/hyperv-keyboard.c). Its messages have no pipe header.
using System.Buffers.Binary;
using Sharpvisor.Core;
using Sharpvisor.VMBus;
using Sharpvisor.VMBus.Protocol;

namespace Sharpvisor.Vsp.Input;

internal sealed class KeyboardChannel(KeyboardVsp vsp) : IChannelHandler
{
    // enum synth_kbd_msg_type.
    private const uint ProtocolRequest = 1;
    private const uint ProtocolResponse = 2;
    private const uint Event = 3;
    private const uint LedIndicators = 4;

    // SYNTH_KBD_VERSION: 1.0.
    private const uint Version = 0x0001_0000;
    private const uint Accepted = 1;

    // struct synth_kbd_keystroke, info.
    private const uint IsBreak = 2;
    private const uint IsE0 = 4;
    private const uint IsE1 = 8;

    private const int QueueLimit = 64;

    private readonly Lock _gate = new();
    private readonly OutgoingMessages _outgoing = new(QueueLimit);
    private bool _accepted;
    private int _leds;

    public bool IsActive
    {
        get
        {
            lock (_gate)
            {
                return _accepted;
            }
        }
    }

    public int Leds => Volatile.Read(ref _leds);

    public void OnOpened(VmbusChannel channel)
    {
        lock (_gate)
        {
            _outgoing.Open(channel);
        }
    }

    public bool OnPacket(VmbusChannel channel, in IncomingPacket packet)
    {
        ReadOnlySpan<byte> payload = packet.Payload;
        if (packet.Type != PacketType.DataInBand || payload.Length < 8)
        {
            return true;
        }

        uint argument = BinaryPrimitives.ReadUInt32LittleEndian(payload[4..]);
        lock (_gate)
        {
            switch (BinaryPrimitives.ReadUInt32LittleEndian(payload))
            {
                case ProtocolRequest:
                    // Answered before anything is typed: a guest that does not read its answers gets no further ones.
                    byte[] response = new byte[8];
                    BinaryPrimitives.WriteUInt32LittleEndian(response, ProtocolResponse);
                    BinaryPrimitives.WriteUInt32LittleEndian(response.AsSpan(4), argument == Version ? Accepted : 0);
                    _accepted = _outgoing.TrySend(response) && argument == Version;
                    break;
                case LedIndicators:
                    Volatile.Write(ref _leds, (int)(argument & 7));
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
        }
    }

    public void OnClosed(VmbusChannel channel)
    {
        lock (_gate)
        {
            _accepted = false;
            _outgoing.Close();
        }

        vsp.ChannelClosed(this);
    }

    public bool TrySend(KeyStroke stroke)
    {
        byte[] message = new byte[12];
        BinaryPrimitives.WriteUInt32LittleEndian(message, Event);
        BinaryPrimitives.WriteUInt16LittleEndian(message.AsSpan(4), stroke.Code);
        uint info = stroke.Pressed ? 0 : IsBreak;
        info |= stroke.Prefix switch { ScanCodePrefix.E0 => IsE0, ScanCodePrefix.E1 => IsE1, _ => 0 };
        BinaryPrimitives.WriteUInt32LittleEndian(message.AsSpan(8), info);
        lock (_gate)
        {
            return !_accepted || _outgoing.TrySend(message);
        }
    }
}
