// A guest's keyboard driver in C#, after drivers/input/serio/hyperv-keyboard.c; messages are laid out by offset, independently of the server's.
using System.Buffers.Binary;
using Sharpvisor.VMBus.Protocol;

namespace Sharpvisor.Vsc.Input;

/// <summary>An open keyboard channel. One thread at a time.</summary>
public sealed class KeyboardVsc(GuestChannel channel)
{
    /// <summary>How long to wait for the host.</summary>
    public TimeSpan Timeout { get; set; } = TimeSpan.FromSeconds(20);

    public GuestChannel Channel => channel;

    /// <summary>SYNTH_KBD_PROTOCOL_REQUEST; true when the host takes the version.</summary>
    public bool RequestVersion(uint version = 0x0001_0000)
    {
        Send(1, version);
        byte[] answer = channel.Receive(Timeout).Payload;
        return BinaryPrimitives.ReadUInt32LittleEndian(answer) == 2
            ? (answer[4] & 1) != 0
            : throw new InvalidDataException("the host did not answer the version");
    }

    /// <summary>Waits for SYNTH_KBD_EVENT and returns the bytes that the driver passes on to atkbd.</summary>
    public byte[] ReceiveBytes()
    {
        byte[] message = channel.Receive(Timeout).Payload;
        if (message.Length < 12 || BinaryPrimitives.ReadUInt32LittleEndian(message) != 3)
        {
            throw new InvalidDataException("not a keystroke");
        }

        uint info = BinaryPrimitives.ReadUInt32LittleEndian(message.AsSpan(8));
        List<byte> bytes = [];
        if ((info & 4) != 0)
        {
            bytes.Add(0xE0);
        }

        if ((info & 8) != 0)
        {
            bytes.Add(0xE1);
        }

        bytes.Add((byte)(BinaryPrimitives.ReadUInt16LittleEndian(message.AsSpan(4)) | ((info & 2) != 0 ? 0x80 : 0)));
        return [.. bytes];
    }

    /// <summary>A message of a type with one word, for example SYNTH_KBD_LED_INDICATORS (4).</summary>
    public void Send(uint type, uint value)
    {
        byte[] message = new byte[8];
        BinaryPrimitives.WriteUInt32LittleEndian(message, type);
        BinaryPrimitives.WriteUInt32LittleEndian(message.AsSpan(4), value);
        if (!channel.TrySend(PacketType.DataInBand, PacketFlags.CompletionRequested, 1, message))
        {
            throw new InvalidOperationException("the ring is full");
        }
    }
}
