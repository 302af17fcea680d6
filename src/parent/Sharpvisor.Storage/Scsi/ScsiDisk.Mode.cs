// Mode parameters of a disk: SPC-4 7.5 and SBC-3 6.5. Only the write cache enable bit can be changed.
using System.Buffers.Binary;
using Sharpvisor.Core;

namespace Sharpvisor.Storage.Scsi;

public sealed partial class ScsiDisk
{
    private const byte CachingPage = 0x08;
    private const byte ControlPage = 0x0A;
    private const byte InformationalExceptionsPage = 0x1C;
    private const byte AllPages = 0x3F;
    private const byte WriteCacheEnable = 0x04;
    private const int MaxModeBytes = 96;

    private void ModeSense(ScsiRequest request)
    {
        ReadOnlySpan<byte> cdb = request.Cdb;
        bool isTen = cdb[0] == Opcode.ModeSense10;
        int control = cdb[2] >> 6;
        byte code = (byte)(cdb[2] & 0x3F);
        if (control == 3)
        {
            request.Fail(SenseKey.IllegalRequest, Asc.SavingParametersNotSupported);
            return;
        }

        if (cdb[3] is not (0 or 0xFF) || code is not (CachingPage or ControlPage or InformationalExceptionsPage or AllPages))
        {
            CommonCommands.InvalidField(request);
            return;
        }

        Span<byte> data = stackalloc byte[MaxModeBytes];
        data.Clear();
        int header = isTen ? 8 : 4;
        int length = header;
        if ((cdb[1] & 0x08) == 0)
        {
            length += WriteBlockDescriptor(data[length..]);
        }

        // WP, and DPOFUA: FUA is honoured.
        byte deviceSpecific = (byte)((_disk.IsReadOnly ? 0x80 : 0) | 0x10);
        if (isTen)
        {
            data[3] = deviceSpecific;
            BinaryPrimitives.WriteUInt16BigEndian(data[6..], (ushort)(length - header));
        }
        else
        {
            data[2] = deviceSpecific;
            data[3] = (byte)(length - header);
        }

        length += WritePages(data[length..], code, isChangeable: control == 1, isDefault: control == 2);
        int allocation = isTen ? BinaryPrimitives.ReadUInt16BigEndian(cdb[7..]) : cdb[4];
        if (isTen)
        {
            BinaryPrimitives.WriteUInt16BigEndian(data, (ushort)(length - 2));
        }
        else
        {
            data[0] = (byte)(length - 1);
        }

        CommonCommands.Respond(request, data[..length], allocation);
    }

    // SBC-3 6.5.2.2, short LBA mode parameter block descriptor.
    private int WriteBlockDescriptor(Span<byte> data)
    {
        BinaryPrimitives.WriteUInt32BigEndian(data, (uint)Math.Min(_blocks, uint.MaxValue));
        BinaryPrimitives.WriteInt32BigEndian(data[4..], _sectorBytes);
        return 8;
    }

    private int WritePages(Span<byte> data, byte code, bool isChangeable, bool isDefault)
    {
        int length = 0;
        if (code is CachingPage or AllPages)
        {
            data[length] = CachingPage;
            data[length + 1] = 18;
            data[length + 2] = isChangeable || isDefault || _writeCache ? WriteCacheEnable : (byte)0;
            length += 20;
        }

        if (code is ControlPage or AllPages)
        {
            data[length] = ControlPage;
            data[length + 1] = 10;
            // Unrestricted reordering: commands complete in any order.
            data[length + 3] = isChangeable ? (byte)0 : (byte)0x10;
            length += 12;
        }

        if (code is InformationalExceptionsPage or AllPages)
        {
            data[length] = InformationalExceptionsPage;
            data[length + 1] = 10;
            // DEXCPT: none are reported.
            data[length + 2] = isChangeable ? (byte)0 : (byte)0x08;
            length += 12;
        }

        return length;
    }

    private void ModeSelect(ScsiRequest request)
    {
        ReadOnlySpan<byte> cdb = request.Cdb;
        bool isTen = cdb[0] == Opcode.ModeSelect10;
        int length = isTen ? BinaryPrimitives.ReadUInt16BigEndian(cdb[7..]) : cdb[4];
        if ((cdb[1] & 1) != 0)
        {
            // SP: there is nowhere to save to.
            CommonCommands.InvalidField(request);
            return;
        }

        request.Begin(ScsiDirection.Out);
        Span<byte> buffer = stackalloc byte[MaxModeBytes];
        Span<byte> list = buffer[..request.Data.CopyTo(buffer[..Math.Min(length, MaxModeBytes)])];
        int header = isTen ? 8 : 4;
        if (length == 0)
        {
            request.Succeed();
            return;
        }

        if (list.Length < header)
        {
            request.Fail(SenseKey.IllegalRequest, Asc.ParameterListLengthError);
            return;
        }

        int descriptors = isTen ? BinaryPrimitives.ReadUInt16BigEndian(list[6..]) : list[3];
        if (header + descriptors > list.Length)
        {
            request.Fail(SenseKey.IllegalRequest, Asc.ParameterListLengthError);
            return;
        }

        if (TryReadPages(list[(header + descriptors)..], out bool writeCache))
        {
            _writeCache = writeCache;
            request.Succeed(list.Length);
        }
        else
        {
            request.Fail(SenseKey.IllegalRequest, Asc.InvalidFieldInParameterList);
        }
    }

    private bool TryReadPages(ReadOnlySpan<byte> pages, out bool writeCache)
    {
        writeCache = _writeCache;
        while (pages.Length > 0)
        {
            if (pages.Length < 2 || pages.Length < pages[1] + 2)
            {
                return false;
            }

            byte code = (byte)(pages[0] & 0x3F);
            int expected = code == CachingPage ? 18 : 10;
            if (code is not (CachingPage or ControlPage or InformationalExceptionsPage) || pages[1] != expected)
            {
                return false;
            }

            if (code == CachingPage)
            {
                writeCache = (pages[2] & WriteCacheEnable) != 0;
            }

            if (!IsUnchanged(pages[..(expected + 2)], code))
            {
                return false;
            }

            pages = pages[(pages[1] + 2)..];
        }

        return true;
    }

    // SPC-4 6.11: a field that MODE SENSE does not call changeable keeps its value, or the command is refused.
    private bool IsUnchanged(ReadOnlySpan<byte> page, byte code)
    {
        Span<byte> current = stackalloc byte[MaxModeBytes];
        Span<byte> changeable = stackalloc byte[MaxModeBytes];
        current.Clear();
        changeable.Clear();
        _ = WritePages(current, code, isChangeable: false, isDefault: false);
        _ = WritePages(changeable, code, isChangeable: true, isDefault: false);
        // Bytes 0 and 1 are page code (with PS, which is reserved here) and length.
        for (int i = 2; i < page.Length; i++)
        {
            if (((page[i] ^ current[i]) & ~changeable[i]) != 0)
            {
                return false;
            }
        }

        return true;
    }
}
