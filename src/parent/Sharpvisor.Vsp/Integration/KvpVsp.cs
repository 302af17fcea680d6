// Key-value pair exchange with hv_kvp_daemon in the guest. Wire format: include/uapi/linux/hyperv.h, struct hv_kvp_msg and hv_kvp_ip_msg;
// strings are UTF-16 with a terminating NUL here, and drivers/hv/hv_kvp.c turns them into UTF-8 for the daemon.
using System.Buffers.Binary;
using System.Text;

namespace Sharpvisor.Vsp.Integration;

/// <summary>Tells the guest values and asks it for its own. Needs the driver and its daemon in the guest.</summary>
public sealed class KvpVsp : IntegrationService
{
    /// <summary>Longest key in characters; the wire has room for the NUL as well, and the guest for UTF-8 of the same size.</summary>
    public const int MaxKeyChars = 255;

    /// <summary>Longest value in characters.</summary>
    public const int MaxValueChars = 1023;

    private const byte Set = 1;
    private const byte Delete = 2;
    private const byte Enumerate = 3;
    private const byte GetIpInfo = 4;
    private const byte SetIpInfo = 5;

    private const uint RegSz = 1;
    private const int KeyBytes = 512;
    private const int ValueBytes = 2048;
    // struct hv_kvp_hdr, then the union: enumerate is its longest member but for the addresses.
    private const int Body = 4;
    private const int MessageBytes = Body + 4 + 12 + KeyBytes + ValueBytes;
    // A guest's pool is its own to fill: this many are read.
    private const int MaxItems = 1024;

    // struct hv_kvp_ip_msg: two header bytes, then struct hv_kvp_ipaddr_value.
    private const int AdapterId = 2;
    private const int AdapterIdBytes = 256;
    private const int AddressFamily = AdapterId + AdapterIdBytes;
    private const int DhcpEnabled = AddressFamily + 1;
    private const int Addresses = DhcpEnabled + 1;
    private const int AddressBytes = 2048;
    private const int Subnets = Addresses + AddressBytes;
    private const int Gateways = Subnets + AddressBytes;
    private const int GatewayBytes = 1024;
    private const int DnsServers = Gateways + GatewayBytes;
    private const int IpMessageBytes = DnsServers + AddressBytes;

    public KvpVsp()
        : base(
            "kvp",
            IcMessageType.KvpExchange,
            (new("a9a0f4e7-5a45-4d96-b827-8a841e8c03e6"), new("242ff919-07db-4180-9c2e-b86cb68c8c55")),
            new(4, 0),
            new(3, 0))
    {
    }

    /// <summary>Sets a pair in a pool of the guest.</summary>
    /// <exception cref="ArgumentException">Key or value is too long.</exception>
    /// <exception cref="IntegrationException">The guest cannot be asked or refuses.</exception>
    public Task SetAsync(KvpPool pool, string key, string value, CancellationToken cancellation = default)
    {
        byte[] message = Message(Set, pool);
        BinaryPrimitives.WriteUInt32LittleEndian(message.AsSpan(Body), RegSz);
        WriteSized(message.AsSpan(Body + 4), message.AsSpan(Body + 12, KeyBytes), key, nameof(key));
        WriteSized(message.AsSpan(Body + 8), message.AsSpan(Body + 12 + KeyBytes, ValueBytes), value, nameof(value));
        return DemandAsync(message, $"set '{key}'", cancellation);
    }

    /// <summary>Deletes a pair from a pool of the guest.</summary>
    /// <returns>False when there was none.</returns>
    /// <exception cref="ArgumentException">The key is too long.</exception>
    /// <exception cref="IntegrationException">The guest cannot be asked or refuses.</exception>
    public async Task<bool> DeleteAsync(KvpPool pool, string key, CancellationToken cancellation = default)
    {
        byte[] message = Message(Delete, pool);
        WriteSized(message.AsSpan(Body), message.AsSpan(Body + 4, KeyBytes), key, nameof(key));
        IcReply reply = await RequestAsync(message, cancellation);
        return reply.Status switch
        {
            IcStatus.Ok => true,
            IcStatus.NoMoreItems => false,
            uint status => throw new IntegrationException($"kvp: the guest refused to delete '{key}' (status {status:x8})", status),
        };
    }

    /// <summary>One value; null when the pool has no such key.</summary>
    /// <exception cref="IntegrationException">The guest cannot be asked or refuses.</exception>
    /// <remarks>
    /// By enumeration, as Hyper-V does: drivers/hv/hv_kvp.c answers KVP_OP_GET from the wrong union member (kvp_enum_data for kvp_get), so
    /// that the value lacks its first four bytes.
    /// </remarks>
    public async Task<string?> GetAsync(KvpPool pool, string key, CancellationToken cancellation = default)
    {
        foreach (KvpItem item in await EnumerateAsync(pool, cancellation))
        {
            if (item.Key == key)
            {
                return item.Value;
            }
        }

        return null;
    }

    /// <summary>All pairs of a pool.</summary>
    /// <exception cref="IntegrationException">The guest cannot be asked or refuses.</exception>
    public async Task<IReadOnlyList<KvpItem>> EnumerateAsync(KvpPool pool, CancellationToken cancellation = default)
    {
        var items = new List<KvpItem>();
        for (uint index = 0; index < MaxItems; index++)
        {
            byte[] message = Message(Enumerate, pool);
            BinaryPrimitives.WriteUInt32LittleEndian(message.AsSpan(Body), index);
            IcReply reply = await RequestAsync(message, cancellation);
            if (reply.Status == IcStatus.NoMoreItems)
            {
                break;
            }

            if (reply.Status != IcStatus.Ok || reply.Body.Length < MessageBytes)
            {
                throw new IntegrationException($"kvp: the guest refused to list its pairs (status {reply.Status:x8})", reply.Status);
            }

            const int Data = Body + 4;
            string key = ReadSized(reply.Body.AsSpan(Data + 4), reply.Body.AsSpan(Data + 12, KeyBytes));
            items.Add(new KvpItem(key, ReadSized(reply.Body.AsSpan(Data + 8), reply.Body.AsSpan(Data + 12 + KeyBytes, ValueBytes))));
        }

        return items;
    }

    /// <summary>The addresses of one of the guest's adapters.</summary>
    /// <param name="adapterId">The adapter's VMBus instance id in braces, as the daemon finds it in sysfs.</param>
    /// <param name="addressFamily">1 IPv4, 2 IPv6, 3 both.</param>
    /// <param name="cancellation">Gives up.</param>
    /// <exception cref="IntegrationException">The guest cannot be asked, or has no such adapter.</exception>
    public async Task<KvpIpInfo> GetIpInfoAsync(string adapterId, byte addressFamily, CancellationToken cancellation = default)
    {
        byte[] message = IpMessage(GetIpInfo, adapterId, addressFamily);
        byte[] answer = await DemandAsync(message, "tell its addresses", cancellation);
        if (answer.Length < IpMessageBytes)
        {
            throw new IntegrationException("kvp: the guest's answer is too short");
        }

        return new KvpIpInfo(
            ReadString(answer.AsSpan(AdapterId, AdapterIdBytes)),
            answer[AddressFamily],
            answer[DhcpEnabled] != 0,
            ReadString(answer.AsSpan(Addresses, AddressBytes)),
            ReadString(answer.AsSpan(Subnets, AddressBytes)),
            ReadString(answer.AsSpan(Gateways, GatewayBytes)),
            ReadString(answer.AsSpan(DnsServers, AddressBytes)));
    }

    /// <summary>IP injection: has the guest configure an adapter (its daemon calls hv_set_ifconfig).</summary>
    /// <exception cref="ArgumentException">Something is too long for the message.</exception>
    /// <exception cref="IntegrationException">The guest cannot be asked or refuses.</exception>
    public Task SetIpInfoAsync(KvpIpInfo info, CancellationToken cancellation = default)
    {
        ArgumentNullException.ThrowIfNull(info);
        byte[] message = IpMessage(SetIpInfo, info.AdapterId, info.AddressFamily);
        message[DhcpEnabled] = info.DhcpEnabled ? (byte)1 : (byte)0;
        WriteString(message.AsSpan(Addresses, AddressBytes), info.Addresses, nameof(info));
        WriteString(message.AsSpan(Subnets, AddressBytes), info.Subnets, nameof(info));
        WriteString(message.AsSpan(Gateways, GatewayBytes), info.Gateways, nameof(info));
        WriteString(message.AsSpan(DnsServers, AddressBytes), info.DnsServers, nameof(info));
        return DemandAsync(message, "set addresses", cancellation);
    }

    private static byte[] Message(byte operation, KvpPool pool)
    {
        // Always full length: drivers/hv/hv_kvp.c answers in the same buffer, with the same length.
        byte[] message = new byte[MessageBytes];
        message[0] = operation;
        message[1] = (byte)pool;
        return message;
    }

    private static byte[] IpMessage(byte operation, string adapterId, byte addressFamily)
    {
        byte[] message = new byte[IpMessageBytes];
        message[0] = operation;
        WriteString(message.AsSpan(AdapterId, AdapterIdBytes), adapterId, nameof(adapterId));
        message[AddressFamily] = addressFamily;
        return message;
    }

    private static void WriteSized(Span<byte> size, Span<byte> destination, string text, string name)
    {
        int bytes = WriteString(destination, text, name);
        BinaryPrimitives.WriteUInt32LittleEndian(size, (uint)bytes);
    }

    /// <returns>Bytes, the terminating NUL included.</returns>
    private static int WriteString(Span<byte> destination, string text, string name)
    {
        // UTF-8 is what the daemon keeps, in fields of the same number of bytes as the wire's.
        if ((text.Length + 1) * 2 > destination.Length || Encoding.UTF8.GetByteCount(text) >= destination.Length
            || text.Contains('\0', StringComparison.Ordinal))
        {
            throw new ArgumentException($"longer than {(destination.Length / 2) - 1} characters, or with a NUL", name);
        }

        return Encoding.Unicode.GetBytes(text, destination) + 2;
    }

    private static string ReadSized(ReadOnlySpan<byte> size, ReadOnlySpan<byte> field)
    {
        uint bytes = BinaryPrimitives.ReadUInt32LittleEndian(size);
        return ReadString(field[..(int)Math.Min(bytes & ~1u, (uint)field.Length)]);
    }

    private static string ReadString(ReadOnlySpan<byte> field)
    {
        string text = Encoding.Unicode.GetString(field);
        int end = text.IndexOf('\0', StringComparison.Ordinal);
        return end < 0 ? text : text[..end];
    }
}
