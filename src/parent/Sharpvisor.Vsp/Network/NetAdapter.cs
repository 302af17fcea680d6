// A network card from the open of its primary channel to the close: NVSP's negotiation and buffers (netvsc_connect_vsp and
// netvsc_init_buf in drivers/net/hyperv/netvsc.c). Receiving is in NetAdapter.Receive.cs, RNDIS control in RndisControl.cs.
using Sharpvisor.Core;
using Sharpvisor.VMBus;
using Sharpvisor.VMBus.Protocol;

namespace Sharpvisor.Vsp.Network;

internal sealed partial class NetAdapter
{
    /// <summary>What a section of the send buffer holds: larger frames come by page numbers.</summary>
    public const int SendSectionBytes = 6144;

    /// <summary>VRSS_SEND_TAB_SIZE.</summary>
    private const int SendTableEntries = 16;

    // What Hyper-V says; Linux does not look at it.
    private const uint MaximumMdlChain = 34;
    private const uint AllocateSubchannels = 1;

    private readonly NetVsp _vsp;
    private readonly VmbusChannel _primary;
    private readonly Lock _lock;
    // Under the lock: the channels that are open.
    private readonly VmbusChannel?[] _channels;
    private readonly RndisControl _control;
    private NvspCapabilities _capabilities;
    private int _configuredFrameBytes;
    private GpadlView? _sendBuffer;
    private uint _requestedSubchannels;

    public NetAdapter(NetVsp vsp, VmbusChannel primary, Lock receiveLock)
    {
        _vsp = vsp;
        _primary = primary;
        _lock = receiveLock;
        _channels = new VmbusChannel?[1 + vsp.Offer.MaxSubchannels];
        _configuredFrameBytes = Math.Min(vsp.MaximumFrameBytes, FrameLayout.EthernetBytes + 1500);
        _control = new RndisControl(vsp, this);
        FilterAddress = vsp.Address;
    }

    /// <summary>The agreed protocol version; 0 before.</summary>
    public uint Version { get; private set; }

    /// <summary>Channels a guest of this version may use.</summary>
    public int MaximumChannels => Version >= NvspVersion.V5 ? _channels.Length : 1;

    public bool CanCoalesce => Version >= NvspVersion.V61 && (_capabilities & NvspCapabilities.ReceiveCoalescing) != 0;

    /// <summary>The largest payload of a frame that the guest's settings and the port allow.</summary>
    public int MaximumPayloadBytes => Math.Min(_configuredFrameBytes, _vsp.MaximumFrameBytes) - FrameLayout.EthernetBytes;

    /// <summary>The guest's send buffer; null without.</summary>
    public GpadlView? SendBuffer => Volatile.Read(ref _sendBuffer);

    public RndisControl Control => _control;

    /// <summary>An open channel may carry frames.</summary>
    public void OnOpened(VmbusChannel channel)
    {
        bool all;
        lock (_lock)
        {
            _channels[channel.SubchannelIndex] = channel;
            all = channel.SubchannelIndex != 0 && channel.SubchannelIndex == _requestedSubchannels;
        }

        if (channel.SubchannelIndex == 0)
        {
            _vsp.OnOpened(this);
        }
        else if (all)
        {
            SendIndirectionTable();
        }
    }

    /// <summary>A channel is closing: it must not be written to, nor with the primary one any memory of the guest's.</summary>
    public void OnClosed(VmbusChannel channel)
    {
        lock (_lock)
        {
            _channels[channel.SubchannelIndex] = null;
            if (channel.SubchannelIndex == 0)
            {
                Stop();
                _receiveBuffer = null;
                Volatile.Write(ref _sendBuffer, null);
            }
        }

        if (channel.SubchannelIndex == 0)
        {
            _vsp.OnClosed(this);
        }

        _vsp.NotifyReady();
    }

    /// <summary>An NVSP message that is no RNDIS packet.</summary>
    /// <returns>True when <paramref name="answer"/> is to be sent with the completion, if one is wanted; otherwise it is empty.</returns>
    public bool Negotiate(in NvspMessage message, out NvspMessage answer)
    {
        answer = default;
        switch (message.Type)
        {
            case NvspMessageType.Init:
                answer = Init(message.Word0, message.Word1);
                return true;
            case NvspMessageType.SendNdisConfig when Version >= NvspVersion.V2:
                Configure(message.Word0, (NvspCapabilities)message.Word2);
                return false;
            case NvspMessageType.SendReceiveBuffer:
                answer = AddReceiveBuffer(message.Word0, (ushort)message.Word1);
                return true;
            case NvspMessageType.RevokeReceiveBuffer:
                RevokeReceiveBuffer((ushort)message.Word0);
                return false;
            case NvspMessageType.SendSendBuffer:
                answer = AddSendBuffer(message.Word0);
                return true;
            case NvspMessageType.RevokeSendBuffer:
                Volatile.Write(ref _sendBuffer, null);
                return false;
            case NvspMessageType.SubChannel:
                answer = AddSubchannels(message.Word0, message.Word1);
                return true;
            default:
                // The NDIS version decides nothing here, and there is no other data path to switch to: an empty completion says so.
                return false;
        }
    }

    private NvspMessage Init(uint minimum, uint maximum)
    {
        uint chosen = 0;
        foreach (uint version in NvspVersion.All)
        {
            if (chosen == 0 && version >= minimum && version <= maximum)
            {
                chosen = version;
            }
        }

        // drivers/net/hyperv tries its versions one by one, newest first; once one is agreed on the rest depends on it.
        uint status = chosen != 0 && Version == 0 ? NvspStatus.Success
            : minimum > NvspVersion.V61 ? NvspStatus.ProtocolTooNew
            : maximum < NvspVersion.V1 ? NvspStatus.ProtocolTooOld
            : NvspStatus.Fail;
        if (status == NvspStatus.Success)
        {
            Version = chosen;
        }

        return new NvspMessage
        {
            Type = NvspMessageType.InitComplete,
            Word0 = status == NvspStatus.Success ? chosen : NvspVersion.V61,
            Word1 = MaximumMdlChain,
            Word2 = status,
        };
    }

    private void Configure(uint frameBytes, NvspCapabilities capabilities)
    {
        lock (_lock)
        {
            // The sections of the receive buffer that follows are made for it.
            _configuredFrameBytes = (int)Math.Clamp(frameBytes, FrameLayout.EthernetBytes + 68, (uint)_vsp.MaximumFrameBytes);
            _capabilities = capabilities;
        }
    }

    private NvspMessage AddReceiveBuffer(uint gpadl, ushort id)
    {
        var answer = new NvspMessage { Type = NvspMessageType.SendReceiveBufferComplete, Word0 = NvspStatus.Fail };
        if (Version == 0 || !_primary.TryGetGpadl(gpadl, out GpadlView? view))
        {
            return answer;
        }

        lock (_lock)
        {
            int sectionBytes = SectionBytesFor(_configuredFrameBytes);
            if (_receiveBuffer is not null || view!.Bytes < sectionBytes)
            {
                return answer;
            }

            _receiveBuffer = new ReceiveBuffer(view, id, sectionBytes);
            answer.Word0 = NvspStatus.Success;
            answer.Word1 = 1;
            answer.Word3 = (uint)sectionBytes;
            answer.Word4 = (uint)_receiveBuffer.Count;
            answer.Word5 = (uint)(_receiveBuffer.Count * sectionBytes);
        }

        return answer;
    }

    private void RevokeReceiveBuffer(ushort id)
    {
        lock (_lock)
        {
            if (_receiveBuffer?.Id == id)
            {
                _receiveBuffer = null;
                Stop();
            }
        }

        _vsp.NotifyReady();
    }

    private NvspMessage AddSendBuffer(uint gpadl)
    {
        var answer = new NvspMessage { Type = NvspMessageType.SendSendBufferComplete, Word0 = NvspStatus.Fail };
        if (Version != 0 && SendBuffer is null && _primary.TryGetGpadl(gpadl, out GpadlView? view))
        {
            Volatile.Write(ref _sendBuffer, view);
            answer.Word0 = NvspStatus.Success;
            answer.Word1 = SendSectionBytes;
        }

        return answer;
    }

    private NvspMessage AddSubchannels(uint operation, uint count)
    {
        var answer = new NvspMessage { Type = NvspMessageType.SubChannel, Word0 = NvspStatus.Fail };
        if (operation != AllocateSubchannels || count >= (uint)MaximumChannels)
        {
            return answer;
        }

        lock (_lock)
        {
            _requestedSubchannels = count;
        }

        if (_primary.OfferSubchannels((int)count))
        {
            answer.Word0 = NvspStatus.Success;
            answer.Word1 = count;
        }

        return answer;
    }

    // nvsp_5_send_indirect_table: which channel the guest is to send on. A suggestion: lost when there is no room for it.
    private void SendIndirectionTable()
    {
        const int Offset = 40;
        Span<uint> words = stackalloc uint[(Offset / sizeof(uint)) + SendTableEntries];
        words.Clear();
        words[0] = (uint)NvspMessageType.SendIndirectionTable;
        words[1] = SendTableEntries;
        words[2] = Offset;
        for (int i = 0; i < SendTableEntries; i++)
        {
            words[(Offset / sizeof(uint)) + i] = (uint)i % (_requestedSubchannels + 1);
        }

        _ = _primary.TryWritePacket(PacketType.DataInBand, PacketFlags.None, 0, System.Runtime.InteropServices.MemoryMarshal.AsBytes(words));
    }
}
