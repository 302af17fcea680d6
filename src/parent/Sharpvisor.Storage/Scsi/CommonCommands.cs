// What every device type shares of SPC-4: bounded responses, INQUIRY's identification pages, REPORT LUNS, REQUEST SENSE, and
// how a disk's status becomes sense data.
using System.Buffers.Binary;
using System.Text;
using Sharpvisor.Core;

namespace Sharpvisor.Storage.Scsi;

internal static class CommonCommands
{
    public const int InquiryBytes = 96;
    private const int DescriptorSenseBytes = 8;

    /// <summary>Sends a response, cut to the allocation length and to the initiator's buffer.</summary>
    public static void Respond(ScsiRequest request, ReadOnlySpan<byte> response, int allocationLength)
    {
        request.Begin(ScsiDirection.In);
        request.Succeed(request.Data.CopyFrom(response[..Math.Min(response.Length, Math.Max(0, allocationLength))]));
    }

    public static void InvalidField(ScsiRequest request) => request.Fail(SenseKey.IllegalRequest, Asc.InvalidFieldInCdb);

    /// <summary>Ends a medium access: GOOD and the bytes moved, or the sense data of what went wrong.</summary>
    public static void Finish(ScsiRequest request, DiskStatus status, long bytes)
    {
        switch (status)
        {
            case DiskStatus.Success:
                request.Succeed((int)bytes);
                break;
            case DiskStatus.OutOfRange:
                request.Fail(SenseKey.IllegalRequest, Asc.LbaOutOfRange);
                break;
            case DiskStatus.ReadError:
                request.Fail(SenseKey.MediumError, Asc.UnrecoveredReadError);
                break;
            case DiskStatus.WriteProtected:
                request.Fail(SenseKey.DataProtect, Asc.WriteProtected);
                break;
            default:
                request.Fail(SenseKey.MediumError, Asc.WriteError);
                break;
        }
    }

    /// <summary>SPC-4 6.4.2. The strings are Hyper-V's; drivers/scsi/storvsc_drv.c looks for vendor "Msft".</summary>
    public static void StandardInquiry(ScsiRequest request, byte deviceType, bool isRemovable, byte version, string product)
    {
        Span<byte> data = stackalloc byte[InquiryBytes];
        data.Clear();
        data[0] = deviceType;
        data[1] = (byte)(isRemovable ? 0x80 : 0);
        data[2] = version;
        data[3] = 2;
        data[4] = InquiryBytes - 5;
        // CMDQUE: commands may overlap.
        data[7] = 2;
        Encoding.ASCII.GetBytes("Msft    ", data[8..]);
        Encoding.ASCII.GetBytes(product, data[16..]);
        Encoding.ASCII.GetBytes("1.0 ", data[32..]);
        Respond(request, data, BinaryPrimitives.ReadUInt16BigEndian(request.Cdb[3..]));
    }

    /// <summary>Sends a vital product data page.</summary>
    public static void VitalProductData(ScsiRequest request, byte deviceType, ReadOnlySpan<byte> content)
    {
        Span<byte> page = stackalloc byte[4 + 128];
        page[0] = deviceType;
        page[1] = request.Cdb[2];
        BinaryPrimitives.WriteUInt16BigEndian(page[2..], (ushort)content.Length);
        content.CopyTo(page[4..]);
        Respond(request, page[..(4 + content.Length)], BinaryPrimitives.ReadUInt16BigEndian(request.Cdb[3..]));
    }

    /// <summary>VPD page 80h, SPC-4 7.8.15.</summary>
    public static void SerialNumberPage(ScsiRequest request, byte deviceType, Guid id)
    {
        Span<byte> serial = stackalloc byte[32];
        id.TryFormat(serial, out _, "N");
        VitalProductData(request, deviceType, serial);
    }

    /// <summary>VPD page 83h, SPC-4 7.8.6: an NAA designator in Microsoft's company id, as Hyper-V's disks have, and a T10 one.</summary>
    public static void DeviceIdentificationPage(ScsiRequest request, byte deviceType, Guid id)
    {
        Span<byte> bytes = stackalloc byte[16];
        id.TryWriteBytes(bytes);
        Span<byte> page = stackalloc byte[20 + 28];
        page.Clear();

        // Binary, logical unit, NAA: 6 (registered extended), company id 00 22 48 (Microsoft), 12 bytes of our own.
        page[0] = 1;
        page[1] = 3;
        page[3] = 16;
        page[4] = 0x60;
        page[5] = 0x02;
        page[6] = 0x24;
        page[7] = 0x80;
        bytes[4..].CopyTo(page[8..]);

        // Binary, logical unit, T10 vendor identification.
        page[20] = 1;
        page[21] = 1;
        page[23] = 24;
        Encoding.ASCII.GetBytes("Msft    ", page[24..]);
        bytes.CopyTo(page[32..]);
        VitalProductData(request, deviceType, page);
    }

    /// <summary>GOOD for a command whose blocks exist and that moves no data.</summary>
    public static void CheckRange(ScsiRequest request, ulong blocks)
    {
        // SEEK (10) has an address and no length.
        BlockRange range = BlockRange.Of(request.Cdb);
        range = request.Cdb[0] == Opcode.Seek10 ? range with { Blocks = 1 } : range;
        if (range.IsInside(blocks))
        {
            request.Succeed();
        }
        else
        {
            request.Fail(SenseKey.IllegalRequest, Asc.LbaOutOfRange);
        }
    }

    /// <summary>SPC-4 6.33, for a target that is only itself; a controller answers for several.</summary>
    public static void ReportLuns(ScsiRequest request)
    {
        // SELECT REPORT: addressed, well known (there are none), all.
        byte select = request.Cdb[2];
        if (select > 2)
        {
            InvalidField(request);
            return;
        }

        Span<byte> data = stackalloc byte[select == 1 ? 8 : 16];
        data.Clear();
        data[3] = (byte)(data.Length - 8);
        Respond(request, data, (int)Math.Min(BinaryPrimitives.ReadUInt32BigEndian(request.Cdb[6..]), int.MaxValue));
    }

    /// <summary>SPC-4 6.39. Sense data goes out with each status, so there is never any left to ask for.</summary>
    public static void RequestSense(ScsiRequest request, SenseKey key, ushort asc)
    {
        Span<byte> data = stackalloc byte[ScsiRequest.FixedSenseBytes];
        int allocation = request.Cdb[4];
        if ((request.Cdb[1] & 1) == 0)
        {
            ScsiRequest.WriteFixedSense(data, key, asc);
            Respond(request, data, allocation);
            return;
        }

        data.Clear();
        data[0] = 0x72;
        data[1] = (byte)key;
        BinaryPrimitives.WriteUInt16BigEndian(data[2..], asc);
        Respond(request, data[..DescriptorSenseBytes], allocation);
    }
}
