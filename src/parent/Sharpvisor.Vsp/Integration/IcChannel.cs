// One open channel of an integration service. The host speaks first: it offers versions, the guest picks (drivers/hv/channel_mgmt.c,
// vmbus_prep_negotiate_resp); then requests go out one at a time, and each is answered (drivers/hv/hv_util.c).
using System.Runtime.InteropServices;
using Sharpvisor.VMBus;
using Sharpvisor.VMBus.Protocol;

namespace Sharpvisor.Vsp.Integration;

internal sealed class IcChannel(IntegrationService service) : IChannelHandler
{
    // UTIL_FW_VERSION and UTIL_WS2K8_FW_VERSION.
    private static readonly IcVersion[] s_frameworks = [new(3, 0), new(1, 0)];

    private readonly Lock _gate = new();
    private VmbusChannel? _channel;
    private TaskCompletionSource<IcReply>? _pending;
    private byte[]? _unsent;
    private IcVersion _framework;
    private IcVersion _message;
    private byte _transactionId;
    private bool _negotiated;

    public void OnOpened(VmbusChannel channel)
    {
        lock (_gate)
        {
            _channel = channel;
            Send(Negotiation());
        }
    }

    public bool OnPacket(VmbusChannel channel, in IncomingPacket packet)
    {
        if (packet.Type != PacketType.DataInBand || packet.Payload.Length < IcHeader.Bytes)
        {
            return true;
        }

        IcHeader header = MemoryMarshal.Read<IcHeader>(packet.Payload);
        ReadOnlySpan<byte> body = packet.Payload[IcHeader.Bytes..];
        body = body[..Math.Min(body.Length, header.Size)];
        if (header.PipeType != IcHeader.PipeData || (header.Flags & IcFlags.Response) == 0)
        {
            return true;
        }

        if (header.Type == IcMessageType.Negotiate)
        {
            TakeVersions(body);
        }
        else
        {
            TakeReply(header, body);
        }

        return true;
    }

    public void OnWritable(VmbusChannel channel)
    {
        lock (_gate)
        {
            if (_unsent is { } packet)
            {
                _unsent = null;
                Send(packet);
            }
        }
    }

    public void OnClosed(VmbusChannel channel)
    {
        TaskCompletionSource<IcReply>? pending;
        lock (_gate)
        {
            _channel = null;
            _unsent = null;
            pending = _pending;
            _pending = null;
        }

        pending?.TrySetException(new IntegrationException($"{service.Offer.Name}: the guest closed the channel"));
        service.ChannelClosed(this);
    }

    /// <summary>Sends a request. The caller sees to it that there is only one at a time.</summary>
    public Task<IcReply> BeginRequest(IcMessageType type, ReadOnlySpan<byte> body)
    {
        // The answer is taken on the channel's worker, which must not run the requester's code.
        var pending = new TaskCompletionSource<IcReply>(TaskCreationOptions.RunContinuationsAsynchronously);
        lock (_gate)
        {
            if (_channel is null)
            {
                throw new IntegrationException($"{service.Offer.Name}: the guest closed the channel");
            }

            // 0 is the negotiation's.
            _transactionId = (byte)(_transactionId % byte.MaxValue + 1);
            _pending = pending;
            Send(Packet(type, _framework, _message, _transactionId, body));
        }

        return pending.Task;
    }

    /// <summary>Nobody waits for the answer any more; a late one is dropped.</summary>
    public void Abandon()
    {
        lock (_gate)
        {
            _pending = null;
            _unsent = null;
        }
    }

    private static byte[] Packet(IcMessageType type, IcVersion framework, IcVersion message, byte transactionId, ReadOnlySpan<byte> body)
    {
        byte[] packet = new byte[IcHeader.Bytes + body.Length];
        var header = new IcHeader
        {
            PipeType = IcHeader.PipeData,
            PipeBytes = (uint)(IcHeader.MessageHeaderBytes + body.Length),
            Framework = framework,
            Type = type,
            Message = message,
            Size = (ushort)body.Length,
            TransactionId = transactionId,
            Flags = IcFlags.Transaction | IcFlags.Request,
        };
        MemoryMarshal.Write(packet, in header);
        body.CopyTo(packet.AsSpan(IcHeader.Bytes));
        return packet;
    }

    private byte[] Negotiation()
    {
        ReadOnlySpan<IcVersion> messages = service.Versions;
        byte[] body = new byte[IcNegotiate.Bytes + ((s_frameworks.Length + messages.Length) * IcNegotiate.VersionBytes)];
        var negotiate = new IcNegotiate { FrameworkCount = (ushort)s_frameworks.Length, MessageCount = (ushort)messages.Length };
        MemoryMarshal.Write(body, in negotiate);
        Span<byte> versions = body.AsSpan(IcNegotiate.Bytes);
        MemoryMarshal.AsBytes<IcVersion>(s_frameworks).CopyTo(versions);
        MemoryMarshal.AsBytes(messages).CopyTo(versions[(s_frameworks.Length * IcNegotiate.VersionBytes)..]);
        return Packet(IcMessageType.Negotiate, default, default, 0, body);
    }

    // Under the lock.
    private void Send(byte[] packet)
    {
        if (_channel!.TryWritePacket(PacketType.DataInBand, PacketFlags.None, 0, packet) == RingWriteStatus.Full)
        {
            _unsent = packet;
        }
    }

    private void TakeVersions(ReadOnlySpan<byte> body)
    {
        if (_negotiated)
        {
            return;
        }

        _negotiated = true;
        IcNegotiate counts = body.Length >= IcNegotiate.Bytes ? MemoryMarshal.Read<IcNegotiate>(body) : default;
        if (counts.FrameworkCount != 1 || counts.MessageCount != 1 || body.Length < IcNegotiate.Bytes + (2 * IcNegotiate.VersionBytes))
        {
            service.ChannelRefused(this);
            return;
        }

        IcVersion framework = MemoryMarshal.Read<IcVersion>(body[IcNegotiate.Bytes..]);
        IcVersion message = MemoryMarshal.Read<IcVersion>(body[(IcNegotiate.Bytes + IcNegotiate.VersionBytes)..]);
        if (!s_frameworks.Contains(framework) || !service.Versions.Contains(message))
        {
            service.ChannelRefused(this);
            return;
        }

        lock (_gate)
        {
            _framework = framework;
            _message = message;
        }

        service.ChannelReady(this, message);
    }

    private void TakeReply(in IcHeader header, ReadOnlySpan<byte> body)
    {
        TaskCompletionSource<IcReply>? pending;
        lock (_gate)
        {
            if (!_negotiated || header.TransactionId != _transactionId || _pending is null)
            {
                return;
            }

            pending = _pending;
            _pending = null;
        }

        pending.TrySetResult(new IcReply(header.Status, body.ToArray()));
    }
}
