// What a CD/DVD drive says about itself and its medium: MMC-6 6.3 to 6.28.
using System.Buffers.Binary;
using Sharpvisor.Core;

namespace Sharpvisor.Storage.Scsi;

public sealed partial class ScsiDvd
{
    private const byte LeadOutTrack = 0xAA;
    private const byte CapabilitiesPage = 0x2A;
    private const byte ErrorRecoveryPage = 0x01;
    private const byte AllPages = 0x3F;

    private void Inquiry(ScsiRequest request)
    {
        Span<byte> cdb = request.Cdb;
        if ((cdb[1] & 1) == 0)
        {
            if (cdb[2] != 0)
            {
                CommonCommands.InvalidField(request);
                return;
            }

            // Version 0 ("conforms to no standard"), as Hyper-V's drive says: guests then do not ask for VPD pages unprompted.
            CommonCommands.StandardInquiry(request, DeviceType, isRemovable: true, version: 0, "Virtual DVD-ROM ");
            return;
        }

        switch (cdb[2])
        {
            case 0x00:
                CommonCommands.VitalProductData(request, DeviceType, [0x00, 0x83]);
                break;
            case 0x83:
                CommonCommands.DeviceIdentificationPage(request, DeviceType, new Guid("43e30573-0377-4654-9495-7d7ced624a7d"));
                break;
            default:
                CommonCommands.InvalidField(request);
                break;
        }
    }

    // MMC-6 6.25: format 0 (TOC), 1 (multi-session), 2 (full TOC).
    private static void ReadToc(ScsiRequest request, uint blocks)
    {
        ReadOnlySpan<byte> cdb = request.Cdb;
        bool isMsf = (cdb[1] & 2) != 0;
        // SFF-8020i drives took the format from the control byte; drivers/cdrom/cdrom.c still fills in both.
        int format = (cdb[2] & 0x0F) != 0 ? cdb[2] & 0x0F : cdb[9] >> 6;
        int allocation = BinaryPrimitives.ReadUInt16BigEndian(cdb[7..]);
        Span<byte> data = stackalloc byte[48];
        data.Clear();
        int length;
        switch (format)
        {
            case 0:
                if (cdb[6] > 1 && cdb[6] != LeadOutTrack)
                {
                    CommonCommands.InvalidField(request);
                    return;
                }

                length = WriteToc(data, cdb[6], isMsf, blocks);
                break;
            case 1:
                data[5] = 0x14;
                data[6] = 1;
                WriteAddress(data[8..], 0, isMsf);
                length = 12;
                break;
            case 2:
                length = WriteFullToc(data, blocks);
                break;
            default:
                CommonCommands.InvalidField(request);
                return;
        }

        BinaryPrimitives.WriteUInt16BigEndian(data, (ushort)(length - 2));
        data[2] = 1;
        data[3] = 1;
        CommonCommands.Respond(request, data[..length], allocation);
    }

    private static int WriteToc(Span<byte> data, byte firstTrack, bool isMsf, uint blocks)
    {
        int length = 4;
        if (firstTrack <= 1)
        {
            // Control 4: data track; ADR 1: position.
            data[length + 1] = 0x14;
            data[length + 2] = 1;
            WriteAddress(data[(length + 4)..], 0, isMsf);
            length += 8;
        }

        data[length + 1] = 0x14;
        data[length + 2] = LeadOutTrack;
        WriteAddress(data[(length + 4)..], blocks, isMsf);
        return length + 8;
    }

    // MMC-6 table 488: points A0 (first track), A1 (last track), A2 (lead-out), and the track.
    private static int WriteFullToc(Span<byte> data, uint blocks)
    {
        int length = 4;
        foreach (byte point in (ReadOnlySpan<byte>)[0xA0, 0xA1, 0xA2, 1])
        {
            Span<byte> entry = data.Slice(length, 11);
            entry[0] = 1;
            entry[1] = 0x14;
            entry[3] = point;
            if (point is 0xA0 or 0xA1)
            {
                entry[8] = 1;
            }
            else
            {
                WriteMsf(entry[8..], point == 1 ? 0 : blocks);
            }

            length += 11;
        }

        return length;
    }

    private static void WriteAddress(Span<byte> field, uint block, bool isMsf)
    {
        if (isMsf)
        {
            WriteMsf(field[1..], block);
        }
        else
        {
            BinaryPrimitives.WriteUInt32BigEndian(field, block);
        }
    }

    // Minute, second, frame; block 0 is at 00:02:00.
    private static void WriteMsf(Span<byte> field, uint block)
    {
        ulong frame = (ulong)block + 150;
        field[0] = (byte)Math.Min(frame / (75 * 60), 255);
        field[1] = (byte)(frame / 75 % 60);
        field[2] = (byte)(frame % 75);
    }

    private static void GetConfiguration(ScsiRequest request, IDisk? medium)
    {
        ReadOnlySpan<byte> cdb = request.Cdb;
        int type = cdb[1] & 3;
        ushort first = BinaryPrimitives.ReadUInt16BigEndian(cdb[2..]);
        if (type == 3)
        {
            CommonCommands.InvalidField(request);
            return;
        }

        ushort current = medium is null ? (ushort)0 : BlocksOf(medium) > MaxCdBlocks ? ProfileDvdRom : ProfileCdRom;
        Span<byte> data = stackalloc byte[96];
        data.Clear();
        BinaryPrimitives.WriteUInt16BigEndian(data[6..], current);
        int length = 8;
        for (ushort code = 0; code <= 0x1F; code++)
        {
            bool isWanted = type == 2 ? code == first : code >= first;
            if (isWanted)
            {
                length += WriteFeature(data[length..], code, current, currentOnly: type == 1);
            }
        }

        BinaryPrimitives.WriteInt32BigEndian(data, length - 4);
        CommonCommands.Respond(request, data[..length], BinaryPrimitives.ReadUInt16BigEndian(cdb[7..]));
    }

    // MMC-6 5.3: profile list, core, removable medium, random readable, CD read, DVD read.
    private static int WriteFeature(Span<byte> data, ushort code, ushort current, bool currentOnly)
    {
        bool isCurrent = code switch
        {
            0 or 1 or 3 => true,
            0x10 => current != 0,
            0x1E => current == ProfileCdRom,
            0x1F => current == ProfileDvdRom,
            _ => false,
        };
        ReadOnlySpan<byte> content = code switch
        {
            0 => [0x00, 0x10, (byte)(current == ProfileDvdRom ? 1 : 0), 0, 0x00, 0x08, (byte)(current == ProfileCdRom ? 1 : 0), 0],
            // Physical interface 1: SCSI; DBE.
            1 => [0, 0, 0, 1, 1, 0, 0, 0],
            // Tray, eject, lock.
            3 => [0x29, 0, 0, 0],
            0x10 => [0, 0, 8, 0, 0, 1, 0, 0],
            0x1E => [0, 0, 0, 0],
            0x1F => [0, 0, 0, 0],
            _ => [],
        };
        if (content.IsEmpty || (currentOnly && !isCurrent))
        {
            return 0;
        }

        BinaryPrimitives.WriteUInt16BigEndian(data, code);
        // Version 0; persistent for the first three.
        data[2] = (byte)((code <= 3 ? 2 : 0) | (isCurrent ? 1 : 0));
        data[3] = (byte)content.Length;
        content.CopyTo(data[4..]);
        return 4 + content.Length;
    }

    // MMC-6 6.6: polled, class 4 (media).
    private void GetEventStatus(ScsiRequest request)
    {
        ReadOnlySpan<byte> cdb = request.Cdb;
        if ((cdb[1] & 1) == 0)
        {
            CommonCommands.InvalidField(request);
            return;
        }

        Span<byte> data = stackalloc byte[8];
        data.Clear();
        int length = 4;
        // NEA until a media class was asked for; supported classes: media.
        data[2] = 0x80;
        data[3] = 0x10;
        if ((cdb[4] & 0x10) != 0)
        {
            lock (_lock)
            {
                data[4] = _mediaEvent;
                data[5] = (byte)(_medium is null ? 0 : 2);
                _mediaEvent = 0;
            }

            data[2] = 4;
            length = 8;
        }

        BinaryPrimitives.WriteUInt16BigEndian(data, (ushort)(length - 2));
        CommonCommands.Respond(request, data[..length], BinaryPrimitives.ReadUInt16BigEndian(cdb[7..]));
    }

    private static void ModeSense(ScsiRequest request)
    {
        ReadOnlySpan<byte> cdb = request.Cdb;
        bool isTen = cdb[0] == Opcode.ModeSense10;
        int control = cdb[2] >> 6;
        int code = cdb[2] & 0x3F;
        if (control == 3)
        {
            request.Fail(SenseKey.IllegalRequest, Asc.SavingParametersNotSupported);
            return;
        }

        if (code is not (CapabilitiesPage or ErrorRecoveryPage or AllPages))
        {
            CommonCommands.InvalidField(request);
            return;
        }

        Span<byte> data = stackalloc byte[64];
        data.Clear();
        int length = isTen ? 8 : 4;
        if (code is ErrorRecoveryPage or AllPages)
        {
            data[length] = ErrorRecoveryPage;
            data[length + 1] = 10;
            length += 12;
        }

        if (code is CapabilitiesPage or AllPages)
        {
            WriteCapabilities(data[length..], isChangeable: control == 1);
            length += 22;
        }

        if (isTen)
        {
            BinaryPrimitives.WriteUInt16BigEndian(data, (ushort)(length - 2));
        }
        else
        {
            data[0] = (byte)(length - 1);
        }

        CommonCommands.Respond(request, data[..length], isTen ? BinaryPrimitives.ReadUInt16BigEndian(cdb[7..]) : cdb[4]);
    }

    // MMC-3 5.5.10, which drivers/scsi/sr.c (get_capabilities) reads: reads CD-R, CD-RW, DVD-ROM; tray; lock and eject.
    private static void WriteCapabilities(Span<byte> page, bool isChangeable)
    {
        page[0] = CapabilitiesPage;
        page[1] = 20;
        if (isChangeable)
        {
            return;
        }

        page[2] = 0x0B;
        page[4] = 0x70;
        page[6] = 0x29;
        // 4x the speed of an audio CD, in kB/s; buffer of 512 KiB.
        BinaryPrimitives.WriteUInt16BigEndian(page[8..], 706);
        BinaryPrimitives.WriteUInt16BigEndian(page[12..], 512);
        BinaryPrimitives.WriteUInt16BigEndian(page[14..], 706);
    }

    // MMC-6 6.22: complete disc, last session complete, one session, one track.
    private static void ReadDiscInformation(ScsiRequest request)
    {
        Span<byte> data = stackalloc byte[34];
        data.Clear();
        data[1] = 32;
        data[2] = 0x0E;
        data[3] = 1;
        data[4] = 1;
        data[5] = 1;
        data[6] = 1;
        data[7] = 0x20;
        data[16..24].Fill(0xFF);
        CommonCommands.Respond(request, data, BinaryPrimitives.ReadUInt16BigEndian(request.Cdb[7..]));
    }

    // MMC-6 6.27.
    private static void ReadTrackInformation(ScsiRequest request, uint blocks)
    {
        Span<byte> data = stackalloc byte[36];
        data.Clear();
        data[1] = 34;
        data[2] = 1;
        data[3] = 1;
        data[5] = 4;
        data[6] = 1;
        BinaryPrimitives.WriteUInt32BigEndian(data[24..], blocks);
        CommonCommands.Respond(request, data, BinaryPrimitives.ReadUInt16BigEndian(request.Cdb[7..]));
    }
}
