// Channel messages as one line of text, for traces.
namespace Sharpvisor.VMBus.Protocol;

/// <summary>Decodes messages for people.</summary>
public static class MessageFormatter
{
    /// <summary>One line; never fails, whatever the bytes.</summary>
    public static string Format(ReadOnlySpan<byte> message)
    {
        if (!Wire.TryParse(message, out MessageHeader header))
        {
            return $"truncated message of {message.Length} bytes";
        }

        string? fields = header.Type switch
        {
            ChannelMessageType.OfferChannel => Wire.TryParse(message, out OfferChannelMessage m)
                ? $"relid={m.Relid} interface={m.InterfaceId} instance={m.InstanceId} sub={m.SubchannelIndex} connection={m.ConnectionId:x} flags={(ushort)m.Flags:x}"
                : null,
            ChannelMessageType.RescindChannelOffer or ChannelMessageType.CloseChannel or ChannelMessageType.RelidReleased =>
                Wire.TryParse(message, out RelidMessage m) ? $"relid={m.Relid}" : null,
            ChannelMessageType.OpenChannel => Wire.TryParse(message, out OpenChannelMessage m)
                ? $"relid={m.Relid} openid={m.OpenId} gpadl={m.RingGpadl:x} vp={m.TargetVp} downstream={m.DownstreamPageOffset}"
                : null,
            ChannelMessageType.OpenChannelResult => Wire.TryParse(message, out OpenResultMessage m)
                ? $"relid={m.Relid} openid={m.OpenId} status={m.Status:x}"
                : null,
            ChannelMessageType.GpadlHeader => Wire.TryParse(message, out GpadlHeaderMessage m)
                ? $"relid={m.Relid} gpadl={m.Gpadl:x} bytes={m.RangeBytes} ranges={m.RangeCount}"
                : null,
            ChannelMessageType.GpadlBody => Wire.TryParse(message, out GpadlBodyMessage m) ? $"gpadl={m.Gpadl:x} number={m.MessageNumber}" : null,
            ChannelMessageType.GpadlCreated => Wire.TryParse(message, out GpadlCreatedMessage m)
                ? $"relid={m.Relid} gpadl={m.Gpadl:x} status={m.Status:x}"
                : null,
            ChannelMessageType.GpadlTeardown => Wire.TryParse(message, out GpadlTeardownMessage m) ? $"relid={m.Relid} gpadl={m.Gpadl:x}" : null,
            ChannelMessageType.GpadlTorndown => Wire.TryParse(message, out GpadlTorndownMessage m) ? $"gpadl={m.Gpadl:x}" : null,
            ChannelMessageType.InitiateContact => Wire.TryParse(message, out InitiateContactMessage m)
                ? $"version={VmbusVersion.Format(m.Version)} vp={m.TargetVp} target={m.InterruptPageOrTarget:x} monitor={m.MonitorPageParentToChild:x},{m.MonitorPageChildToParent:x}"
                : null,
            ChannelMessageType.VersionResponse => Wire.TryParse(message, out VersionResponseMessage m)
                ? $"supported={m.VersionSupported} state={m.ConnectionState} value={m.VersionOrConnectionId:x}"
                : null,
            ChannelMessageType.ModifyChannel => Wire.TryParse(message, out ModifyChannelMessage m) ? $"relid={m.Relid} vp={m.TargetVp}" : null,
            ChannelMessageType.ModifyChannelResponse => Wire.TryParse(message, out ModifyChannelResponseMessage m)
                ? $"relid={m.Relid} status={m.Status:x}"
                : null,
            ChannelMessageType.TlConnectRequest => Wire.TryParse(message, out TlConnectRequestMessage m)
                ? $"endpoint={m.EndpointId} service={m.ServiceId}"
                : null,
            _ => string.Empty,
        };
        return $"{header.Type} {fields ?? "(truncated)"}";
    }
}
