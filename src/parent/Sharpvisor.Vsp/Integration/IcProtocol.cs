// The wire format all integration services share: include/linux/hyperv.h, struct vmbuspipe_hdr, icmsg_hdr and icmsg_negotiate.
using System.Runtime.InteropServices;

namespace Sharpvisor.Vsp.Integration;

/// <summary>struct ic_version.</summary>
[StructLayout(LayoutKind.Sequential, Pack = 1)]
public readonly record struct IcVersion(ushort Major, ushort Minor)
{
    public override string ToString() => $"{Major}.{Minor}";
}

/// <summary>ICMSGTYPE_*.</summary>
internal enum IcMessageType : ushort
{
    Negotiate = 0,
    Heartbeat = 1,
    KvpExchange = 2,
    Shutdown = 3,
    TimeSync = 4,
    Vss = 5,
    FileCopy = 7,
}

/// <summary>ICMSGHDRFLAG_*.</summary>
[Flags]
internal enum IcFlags : byte
{
    None = 0,
    Transaction = 1,
    Request = 2,
    Response = 4,
}

/// <summary>HV_S_* and HV_E_* of include/uapi/linux/hyperv.h.</summary>
public static class IcStatus
{
    public const uint Ok = 0;
    public const uint Fail = 0x8000_4005;
    /// <summary>HV_S_CONT: no such item, or the enumeration is over.</summary>
    public const uint NoMoreItems = 0x8007_0103;
    public const uint NotSupported = 0x8007_0032;
    public const uint NotFound = 0x8004_1002;
    public const uint AlreadyExists = 0x8007_0050;
    public const uint DiskFull = 0x8007_0070;
}

/// <summary>struct vmbuspipe_hdr and struct icmsg_hdr, which stand in front of every message: 28 bytes.</summary>
[StructLayout(LayoutKind.Sequential, Pack = 1)]
internal struct IcHeader
{
    public const int Bytes = 28;

    /// <summary>struct icmsg_hdr alone, which counts for the pipe's length.</summary>
    public const int MessageHeaderBytes = 20;

    /// <summary>The only pipe packet type the two ends exchange: data.</summary>
    public const uint PipeData = 1;

    public uint PipeType;
    public uint PipeBytes;
    public IcVersion Framework;
    public IcMessageType Type;
    public IcVersion Message;
    /// <summary>Bytes after this header.</summary>
    public ushort Size;
    public uint Status;
    public byte TransactionId;
    public IcFlags Flags;
    public ushort Reserved;
}

/// <summary>struct icmsg_negotiate, before its versions.</summary>
[StructLayout(LayoutKind.Sequential, Pack = 1)]
internal struct IcNegotiate
{
    public const int Bytes = 8;
    public const int VersionBytes = 4;

    public ushort FrameworkCount;
    public ushort MessageCount;
    public uint Reserved;
}

/// <summary>What the guest answered.</summary>
/// <param name="Body">What follows the header.</param>
internal readonly record struct IcReply(uint Status, byte[] Body);
