// Key-value pair exchange as callers see it (include/uapi/linux/hyperv.h, enum hv_kvp_exchg_pool and struct hv_kvp_ipaddr_value).
namespace Sharpvisor.Vsp.Integration;

/// <summary>Whose pairs; hv_kvp_daemon keeps pool N in /var/lib/hyperv/.kvp_pool_N.</summary>
public enum KvpPool : byte
{
    /// <summary>What the host tells the guest.</summary>
    External = 0,
    /// <summary>What programs in the guest tell the host.</summary>
    Guest = 1,
    /// <summary>What the guest's daemon finds out by itself: OSName, NetworkAddressIPv4 and so on.</summary>
    Auto = 2,
    /// <summary>What the host knows about itself.</summary>
    AutoExternal = 3,
}

/// <summary>One pair.</summary>
public readonly record struct KvpItem(string Key, string Value);

/// <summary>A guest adapter's addresses, each a list separated by semicolons.</summary>
/// <param name="AdapterId">The adapter's VMBus instance id in braces.</param>
/// <param name="AddressFamily">1 IPv4, 2 IPv6, 3 both.</param>
/// <param name="DhcpEnabled">The guest uses DHCP for it.</param>
public sealed record KvpIpInfo(
    string AdapterId, byte AddressFamily, bool DhcpEnabled, string Addresses, string Subnets, string Gateways, string DnsServers);
