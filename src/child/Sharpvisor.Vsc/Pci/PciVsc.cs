// A guest's driver of a virtual PCI bus in C#, after drivers/pci/controller/pci-hyperv.c; messages are laid out by offset, independently of
// the server's structures.
using System.Buffers.Binary;
using Sharpvisor.VMBus.Protocol;

namespace Sharpvisor.Vsc.Pci;

/// <summary>An open vPCI channel. One thread at a time.</summary>
public sealed class PciVsc(GuestChannel channel)
{
    private const uint Base = 0x4249_0000;
    private readonly Queue<byte[]> _messages = new();
    private ulong _transactionId;

    public GuestChannel Channel => channel;

    /// <summary>How long to wait for the host.</summary>
    public TimeSpan Timeout { get; set; } = TimeSpan.FromSeconds(20);

    /// <summary>PCI_QUERY_PROTOCOL_VERSION; the status.</summary>
    public uint QueryVersion(uint version) => Status(Request(0x13, version));

    /// <summary>PCI_BUS_D0ENTRY with the configuration window.</summary>
    public uint EnterD0(ulong window) => Status(Request(7, 0, (uint)window, (uint)(window >> 32)));

    public uint ExitD0() => Status(Request(8));

    /// <summary>PCI_QUERY_BUS_RELATIONS: the message that follows.</summary>
    public byte[] QueryRelations()
    {
        Send(Message(1), transactionId: 0);
        return NextMessage();
    }

    /// <summary>PCI_QUERY_RESOURCE_REQUIREMENTS: status and probed BARs.</summary>
    public byte[] QueryRequirements(uint slot = 0) => Request(5, slot);

    /// <summary>PCI_RESOURCES_ASSIGNED2.</summary>
    public uint AssignResources(uint slot = 0) => Status(Request(0x16, slot, new uint[50]));

    /// <summary>PCI_CREATE_INTERRUPT_MESSAGE and its later forms; the answer.</summary>
    public byte[] CreateInterrupt(int form, byte vector, ushort count, ushort processor)
    {
        byte[] message = new byte[8 + 80];
        Message(form switch { 1 => 0x14, 2 => 0x17, _ => 0x1B }).CopyTo(message, 0);
        Span<byte> description = message.AsSpan(8);
        description[0] = vector;
        int at = form == 3 ? 6 : 2;
        BinaryPrimitives.WriteUInt16LittleEndian(description[at..], count);
        if (form == 1)
        {
            BinaryPrimitives.WriteUInt64LittleEndian(description[8..], 1UL << processor);
        }
        else
        {
            BinaryPrimitives.WriteUInt16LittleEndian(description[(at + 2)..], 1);
            BinaryPrimitives.WriteUInt16LittleEndian(description[(at + 4)..], processor);
        }

        return Request(message);
    }

    /// <summary>PCI_DELETE_INTERRUPT_MESSAGE.</summary>
    public void DeleteInterrupt(uint data, ulong address) =>
        Send(Message(0x15, 0, 0x0001_0000, data, (uint)address, (uint)(address >> 32)), transactionId: 0);

    /// <summary>PCI_EJECTION_COMPLETE.</summary>
    public void CompleteEjection() => Send(Message(0xF, 0, 0), transactionId: 0);

    /// <summary>A message the host sent by itself.</summary>
    public byte[] NextMessage()
    {
        while (_messages.Count == 0)
        {
            Take(channel.Receive(Timeout));
        }

        return _messages.Dequeue();
    }

    /// <summary>Sends any bytes and waits for their completion.</summary>
    public byte[] Request(byte[] message)
    {
        ulong id = ++_transactionId;
        Send(message, id);
        while (true)
        {
            GuestPacket packet = channel.Receive(Timeout);
            if (packet.Descriptor.Type == PacketType.Completion && packet.Descriptor.TransactionId == id)
            {
                return packet.Payload;
            }

            Take(packet);
        }
    }

    /// <summary>Sends any bytes.</summary>
    public void Send(byte[] message, ulong transactionId)
    {
        if (!channel.TrySendInBand(transactionId, message))
        {
            throw new InvalidOperationException("the ring is full");
        }
    }

    public static uint Status(byte[] answer) => BinaryPrimitives.ReadUInt32LittleEndian(answer);

    private byte[] Request(uint type, uint first = 0, params uint[] rest) => Request(Message(type, [first, .. rest]));

    private static byte[] Message(uint type, params uint[] words)
    {
        byte[] message = new byte[8 + (4 * Math.Max(0, words.Length - 1))];
        BinaryPrimitives.WriteUInt32LittleEndian(message, Base + type);
        for (int i = 0; i < words.Length; i++)
        {
            BinaryPrimitives.WriteUInt32LittleEndian(message.AsSpan(4 + (i * 4)), words[i]);
        }

        return message;
    }

    private void Take(GuestPacket packet)
    {
        if (packet.Descriptor.Type == PacketType.DataInBand)
        {
            _messages.Enqueue(packet.Payload);
        }
    }
}
