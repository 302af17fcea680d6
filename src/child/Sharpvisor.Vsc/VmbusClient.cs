// A guest's VMBus driver in C#, after drivers/hv (connection.c, channel_mgmt.c, channel.c): contact, offers, GPADLs, open and close,
// unload. For tests, fuzzing and benchmarks of the parent's end.
using System.Runtime.InteropServices;
using Sharpvisor.Core;
using Sharpvisor.VMBus.Protocol;

namespace Sharpvisor.Vsc;

/// <summary>The guest's end of the bus. One thread at a time.</summary>
public sealed class VmbusClient
{
    private readonly GuestMemory _memory;
    private readonly ulong _heapPfn;
    private readonly ulong _heapPages;
    private readonly List<byte[]> _stash = [];
    private ulong _nextPage;
    private uint _nextGpadl = 0xE1E10;
    private uint _connectionId = VmbusConstants.MessageConnectionId;

    /// <param name="memory">The guest's memory.</param>
    /// <param name="synic">The in-process SynIC.</param>
    /// <param name="heapGpa">Guest memory for rings and buffers.</param>
    /// <param name="heapBytes">Its size.</param>
    public VmbusClient(GuestMemory memory, LoopbackSynic synic, ulong heapGpa, ulong heapBytes)
    {
        _memory = memory;
        Synic = synic;
        _heapPfn = heapGpa >> GuestMemory.PageShift;
        _heapPages = heapBytes >> GuestMemory.PageShift;
    }

    public LoopbackSynic Synic { get; }

    /// <summary>How long to wait for answers.</summary>
    public TimeSpan Timeout { get; set; } = TimeSpan.FromSeconds(20);

    /// <summary>The negotiated version; 0 when there is none.</summary>
    public uint Version { get; private set; }

    /// <summary>Where messages go.</summary>
    public uint ConnectionId => _connectionId;

    /// <summary>vmbus_negotiate_version for one version.</summary>
    public VersionResponseMessage Contact(uint version, uint targetVp = 0, ulong target = VmbusConstants.Sint, ulong monitor1 = 0x1000, ulong monitor2 = 0x2000)
    {
        _connectionId = version >= VmbusVersion.V5_0 ? VmbusConstants.MessageConnectionId4 : VmbusConstants.MessageConnectionId;
        Post(new InitiateContactMessage
        {
            Header = Wire.Header(ChannelMessageType.InitiateContact),
            Version = version,
            TargetVp = targetVp,
            InterruptPageOrTarget = target,
            MonitorPageParentToChild = monitor1,
            MonitorPageChildToParent = monitor2,
        });
        VersionResponseMessage response = Expect<VersionResponseMessage>(ChannelMessageType.VersionResponse);
        Version = response.VersionSupported != 0 && response.ConnectionState == 0 ? version : 0;
        if (Version >= VmbusVersion.V5_0)
        {
            _connectionId = response.VersionOrConnectionId;
        }

        return response;
    }

    /// <summary>vmbus_connect: the newest version both ends speak. False when there is none.</summary>
    public bool Connect()
    {
        for (int i = VmbusVersion.All.Length - 1; i >= 0; i--)
        {
            Contact(VmbusVersion.All[i]);
            if (Version != 0)
            {
                return true;
            }
        }

        return false;
    }

    /// <summary>vmbus_request_offers: all offers there are now.</summary>
    public IReadOnlyList<OfferChannelMessage> RequestOffers()
    {
        Post(Wire.Header(ChannelMessageType.RequestOffers));
        var offers = new List<OfferChannelMessage>();
        while (true)
        {
            byte[] message = Next();
            ChannelMessageType type = TypeOf(message);
            if (type == ChannelMessageType.OfferChannel)
            {
                offers.Add(MemoryMarshal.Read<OfferChannelMessage>(message));
            }
            else if (type == ChannelMessageType.AllOffersDelivered)
            {
                return offers;
            }
            else
            {
                _stash.Add(message);
            }
        }
    }

    /// <summary>vmbus_establish_gpadl; returns the status the host answers.</summary>
    public uint CreateGpadl(uint relid, ReadOnlySpan<ulong> pfns, out uint handle)
    {
        handle = _nextGpadl++;
        foreach (byte[] message in GpadlMessages(relid, handle, pfns))
        {
            PostBytes(message);
        }

        return Expect<GpadlCreatedMessage>(ChannelMessageType.GpadlCreated).Status;
    }

    /// <summary>The messages that describe one page-aligned range: a header and as many bodies as needed.</summary>
    public static IReadOnlyList<byte[]> GpadlMessages(uint relid, uint handle, ReadOnlySpan<ulong> pfns)
    {
        const int InHeader = (VmbusConstants.MaxMessageBytes - 20 - 8) / 8;
        const int InBody = (VmbusConstants.MaxMessageBytes - 16) / 8;
        var messages = new List<byte[]>();
        int first = Math.Min(pfns.Length, InHeader);
        byte[] message = new byte[28 + (first * 8)];
        var header = new GpadlHeaderMessage
        {
            Header = Wire.Header(ChannelMessageType.GpadlHeader),
            Relid = relid,
            Gpadl = handle,
            RangeBytes = (ushort)(8 + (pfns.Length * 8)),
            RangeCount = 1,
        };
        var range = new GpaRangeHeader { ByteCount = (uint)pfns.Length * GuestMemory.PageBytes };
        MemoryMarshal.Write(message, in header);
        MemoryMarshal.Write(message.AsSpan(20), in range);
        MemoryMarshal.AsBytes(pfns[..first]).CopyTo(message.AsSpan(28));
        messages.Add(message);
        uint number = 0;
        for (int i = first; i < pfns.Length; i += InBody)
        {
            int count = Math.Min(InBody, pfns.Length - i);
            message = new byte[16 + (count * 8)];
            var body = new GpadlBodyMessage { Header = Wire.Header(ChannelMessageType.GpadlBody), MessageNumber = number++, Gpadl = handle };
            MemoryMarshal.Write(message, in body);
            MemoryMarshal.AsBytes(pfns.Slice(i, count)).CopyTo(message.AsSpan(16));
            messages.Add(message);
        }

        return messages;
    }

    /// <summary>vmbus_open. Null when the host refuses.</summary>
    /// <param name="offer">What to open.</param>
    /// <param name="sendPages">Pages of the guest-to-host ring, control page included.</param>
    /// <param name="receivePages">Pages of the other ring.</param>
    /// <param name="targetVp">VP for the channel's interrupts.</param>
    /// <param name="scattered">Takes pages that are not adjacent.</param>
    /// <param name="prepare">Called with the channel before the open message.</param>
    public GuestChannel? Open(
        in OfferChannelMessage offer, int sendPages = 16, int receivePages = 16, uint targetVp = 0, bool scattered = false, Action<GuestChannel>? prepare = null)
    {
        ulong[] pfns = AllocatePages(sendPages + receivePages, scattered);
        if (CreateGpadl(offer.Relid, pfns, out uint gpadl) != VmbusConstants.StatusSuccess)
        {
            return null;
        }

        var channel = new GuestChannel(Synic, _memory, offer, gpadl, pfns, sendPages);
        prepare?.Invoke(channel);
        Post(new OpenChannelMessage
        {
            Header = Wire.Header(ChannelMessageType.OpenChannel),
            Relid = offer.Relid,
            OpenId = offer.Relid,
            RingGpadl = gpadl,
            TargetVp = targetVp,
            DownstreamPageOffset = (uint)sendPages,
        });
        if (Expect<OpenResultMessage>(ChannelMessageType.OpenChannelResult).Status == VmbusConstants.StatusSuccess)
        {
            return channel;
        }

        channel.Dispose();
        return null;
    }

    /// <summary>vmbus_close: close, then get the ring's memory back.</summary>
    public void Close(GuestChannel channel)
    {
        ArgumentNullException.ThrowIfNull(channel);
        uint relid = channel.Offer.Relid;
        Post(new RelidMessage { Header = Wire.Header(ChannelMessageType.CloseChannel), Relid = relid });
        TeardownGpadl(relid, channel.RingGpadl);
        channel.Dispose();
    }

    /// <summary>vmbus_teardown_gpadl.</summary>
    public void TeardownGpadl(uint relid, uint handle)
    {
        Post(new GpadlTeardownMessage { Header = Wire.Header(ChannelMessageType.GpadlTeardown), Relid = relid, Gpadl = handle });
        _ = Expect<GpadlTorndownMessage>(ChannelMessageType.GpadlTorndown);
    }

    /// <summary>vmbus_initiate_unload: waits for the answer.</summary>
    public void Unload()
    {
        Post(Wire.Header(ChannelMessageType.Unload));
        _ = Expect<MessageHeader>(ChannelMessageType.UnloadResponse);
        Version = 0;
        _stash.Clear();
        _nextPage = 0;
    }

    /// <summary>Page numbers of unused guest memory.</summary>
    public ulong[] AllocatePages(int count, bool scattered = false)
    {
        ulong[] pfns = new ulong[count];
        ulong step = scattered ? 2UL : 1UL;
        for (int i = 0; i < count; i++)
        {
            pfns[i] = _heapPfn + _nextPage;
            _nextPage += step;
        }

        if (scattered)
        {
            Array.Reverse(pfns);
        }

        return _nextPage <= _heapPages ? pfns : throw new InvalidOperationException("the client's guest memory is used up");
    }

    /// <summary>Posts a message as vmbus_post_msg does: again when the host is short of buffers.</summary>
    public void Post<T>(in T message)
        where T : unmanaged =>
        PostBytes(Wire.ToBytes(message));

    /// <summary>Takes back all pages: nothing may be open.</summary>
    public void ResetPages() => _nextPage = 0;

    /// <inheritdoc cref="Post"/>
    public void PostBytes(ReadOnlySpan<byte> message)
    {
        for (int retries = 0; Synic.GuestPostMessage(_connectionId, VmbusConstants.MessageType, message) == LoopbackSynic.HvStatusInsufficientBuffers; retries++)
        {
            if (retries > 1000)
            {
                throw new TimeoutException("the host takes no messages");
            }

            Thread.Sleep(1);
        }
    }

    /// <summary>Waits for a message of one type, keeping others for later.</summary>
    /// <exception cref="TimeoutException">None came.</exception>
    public T Expect<T>(ChannelMessageType type)
        where T : unmanaged
    {
        for (int i = 0; i < _stash.Count; i++)
        {
            if (TypeOf(_stash[i]) == type)
            {
                byte[] found = _stash[i];
                _stash.RemoveAt(i);
                return MemoryMarshal.Read<T>(found);
            }
        }

        while (true)
        {
            byte[] message = Next(type);
            if (TypeOf(message) == type)
            {
                return MemoryMarshal.Read<T>(message);
            }

            _stash.Add(message);
        }
    }

    private static ChannelMessageType TypeOf(byte[] message) => MemoryMarshal.Read<MessageHeader>(message).Type;

    private byte[] Next(ChannelMessageType expected = ChannelMessageType.Invalid) =>
        Synic.TryTakeMessage(out GuestMessage? message, Timeout)
            ? message!.Payload
            : throw new TimeoutException($"no {expected} from the host");
}
