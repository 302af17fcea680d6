// The storage channel's wire format: struct vstor_packet and struct vmscsi_request of drivers/scsi/storvsc_drv.c.
using System.Runtime.InteropServices;

namespace Sharpvisor.Vsp.Storage;

/// <summary>enum vstor_packet_operation.</summary>
public enum StorOperation : uint
{
    CompleteIo = 1,
    RemoveDevice = 2,
    ExecuteSrb = 3,
    ResetLun = 4,
    ResetAdapter = 5,
    ResetBus = 6,
    BeginInitialization = 7,
    EndInitialization = 8,
    QueryProtocolVersion = 9,
    QueryProperties = 10,
    EnumerateBus = 11,
    FchbaData = 12,
    CreateSubChannels = 13,
}

/// <summary>NTSTATUS values a packet can carry.</summary>
public static class StorStatus
{
    public const uint Success = 0;
    public const uint DeviceBusy = 0x8000_0011;
    public const uint Unsuccessful = 0xC000_0001;
    public const uint DeviceDoesNotExist = 0xC000_00C0;
    public const uint IoDeviceError = 0xC000_0185;
    public const uint InvalidParameter = 0xC000_000D;
    public const uint InvalidDeviceState = 0xC000_0184;
    /// <summary>STATUS_REVISION_MISMATCH: the guest tries its next version.</summary>
    public const uint RevisionMismatch = 0xC000_0059;
}

/// <summary>SRB_STATUS_*.</summary>
public static class SrbStatus
{
    public const byte Success = 0x01;
    public const byte Error = 0x04;
    public const byte Busy = 0x05;
    public const byte InvalidRequest = 0x06;
    public const byte DataOverrun = 0x12;
    public const byte InvalidLun = 0x20;
    public const byte AutosenseValid = 0x80;
}

/// <summary>Protocol versions: major in the high byte.</summary>
public static class StorVersion
{
    public const ushort Win8 = 0x0501;
    public const ushort Win8Point1 = 0x0600;
    public const ushort Win10 = 0x0602;
}

/// <summary>struct vmscsi_request as of Windows 8: 52 bytes.</summary>
[StructLayout(LayoutKind.Sequential, Pack = 1)]
public struct ScsiRequestBlock
{
    public ushort Length;
    public byte SrbStatus;
    public byte ScsiStatus;
    public byte Port;
    public byte Path;
    public byte Target;
    public byte Lun;
    public byte CdbLength;
    public byte SenseLength;
    /// <summary>0 write, 1 read, 2 unknown.</summary>
    public byte DataIn;
    public byte Reserved;
    public uint DataTransferLength;
    /// <summary>The CDB on the way in, sense data on the way out.</summary>
    public CdbOrSense Payload;
    public ushort Reserve;
    public byte QueueTag;
    public byte QueueAction;
    public uint SrbFlags;
    public uint TimeOutValue;
    public uint QueueSortKey;
}

/// <summary>20 bytes: CDB (16 used) or sense data.</summary>
[System.Runtime.CompilerServices.InlineArray(Bytes)]
public struct CdbOrSense
{
    public const int Bytes = 20;
    private byte _first;
}

/// <summary>struct vstor_packet with an SRB in its union: 64 bytes.</summary>
[StructLayout(LayoutKind.Sequential, Pack = 1)]
public struct StorPacket
{
    public const int Bytes = 64;

    public StorOperation Operation;
    public uint Flags;
    public uint Status;
    public ScsiRequestBlock Srb;
}

/// <summary>struct vmstorage_channel_properties, in the packet's union.</summary>
[StructLayout(LayoutKind.Sequential, Pack = 1)]
public struct StorChannelProperties
{
    public const uint SupportsMultiChannel = 1;

    public uint Reserved;
    public ushort MaxChannelCount;
    public ushort Reserved1;
    public uint Flags;
    public uint MaxTransferBytes;
    public ulong Reserved2;
}
