// Commands of a disk that move no data, and its IDENTIFY DEVICE data (ATA/ATAPI-7 volume 1, 6.17).
using System.Buffers.Binary;
using System.Globalization;

namespace Sharpvisor.Devices.Ide;

internal sealed partial class AtaDisk
{
    private void ExecuteNoData(byte command)
    {
        switch (command)
        {
            case AtaCommand.ReadVerify or AtaCommand.ReadVerifyNoRetry or AtaCommand.ReadVerifyExt:
                if (TryBegin(command == AtaCommand.ReadVerifyExt, isWrite: false))
                {
                    Done();
                }

                break;
            case AtaCommand.SetMultiple:
                SetMultiple((byte)TaskFile.Count);
                break;
            case AtaCommand.SetFeatures:
                SetFeatures((byte)TaskFile.Features, (byte)TaskFile.Count);
                break;
            case AtaCommand.InitializeParameters:
                InitializeParameters();
                break;
            case AtaCommand.ReadNativeMax:
                ReportMaximum(Math.Min(_sectors - 1, 0xFFF_FFFF), isExt: false);
                break;
            case AtaCommand.ReadNativeMaxExt:
                ReportMaximum(_sectors - 1, isExt: true);
                break;
            case AtaCommand.CheckPowerMode or AtaCommand.CheckPowerModeOld:
                // Active or idle.
                TaskFile.Count = 0xFF;
                Done();
                break;
            case AtaCommand.StandbyImmediate or AtaCommand.IdleImmediate or AtaCommand.Standby or AtaCommand.Idle
                or AtaCommand.Sleep or AtaCommand.StandbyImmediateOld or AtaCommand.IdleImmediateOld
                or AtaCommand.StandbyOld or AtaCommand.IdleOld or AtaCommand.SleepOld:
            case AtaCommand.Seek:
            case >= AtaCommand.Recalibrate and <= AtaCommand.Recalibrate + 15:
                Done();
                break;
            default:
                // NOP, DEVICE RESET, the packet commands and SMART end here too: aborted, as for what is not there.
                Fail(AtaError.Abort);
                break;
        }
    }

    private void SetMultiple(byte count)
    {
        if (count > MaxMultiple || (count & (count - 1)) != 0)
        {
            Fail(AtaError.Abort);
            return;
        }

        _multiple = count;
        Done();
    }

    // ATA/ATAPI-7 6.49.
    private void SetFeatures(byte feature, byte value)
    {
        switch (feature)
        {
            case 0x02:
                _writeCache = true;
                break;
            case 0x82:
                _writeCache = false;
                // What is in the cache goes to the medium first.
                Flush();
                return;
            case 0x03 when value <= 0x01 || value is (>= 0x08 and <= 0x0C) or (>= 0x20 and <= 0x22) or (>= 0x40 and <= 0x45):
                _transferMode = value;
                break;
            case 0x55 or 0xAA or 0x66 or 0xCC:
                // Read look-ahead off and on; settings kept or not over a reset.
                break;
            default:
                Fail(AtaError.Abort);
                return;
        }

        Done();
    }

    private void InitializeParameters()
    {
        byte sectors = (byte)TaskFile.Count;
        if (sectors == 0)
        {
            Fail(AtaError.Abort);
            return;
        }

        _sectorsPerTrack = sectors;
        _heads = (byte)((TaskFile.Device & 15) + 1);
        _cylinders = (ushort)Math.Min(_sectors / ((uint)_heads * _sectorsPerTrack), 65535);
        Done();
    }

    private void ReportMaximum(ulong lba, bool isExt)
    {
        ref IdeTaskFile registers = ref TaskFile;
        registers.LbaLow = (ushort)((byte)lba | (isExt ? (ushort)((lba >> 24) & 0xFF) << 8 : 0));
        registers.LbaMid = (ushort)((byte)(lba >> 8) | (isExt ? (ushort)((lba >> 32) & 0xFF) << 8 : 0));
        registers.LbaHigh = (ushort)((byte)(lba >> 16) | (isExt ? (ushort)((lba >> 40) & 0xFF) << 8 : 0));
        if (!isExt)
        {
            registers.Device = (byte)((registers.Device & 0xF0) | (byte)((lba >> 24) & 15));
        }

        Done();
    }

    private void WriteIdentity(Span<byte> data)
    {
        data[..SectorBytes].Clear();
        // Fixed device.
        Word(data, 0, 0x0040);
        Word(data, 1, (ushort)Math.Min(_sectors / (16 * 63), 16383));
        Word(data, 3, 16);
        Word(data, 6, 63);
        IdeText.Write(data, 10, 10, _disk.Id.ToString("N", CultureInfo.InvariantCulture)[..20]);
        IdeText.Write(data, 23, 4, "1.1.0");
        IdeText.Write(data, 27, 20, "Virtual HD");
        Word(data, 47, 0x8000 | MaxMultiple);
        // LBA, DMA, IORDY.
        Word(data, 49, 0x0B00);
        Word(data, 50, 0x4000);
        // Words 54..58, 64..70 and 88 are valid.
        Word(data, 53, 7);
        Word(data, 54, _cylinders);
        Word(data, 55, _heads);
        Word(data, 56, _sectorsPerTrack);
        BinaryPrimitives.WriteUInt32LittleEndian(data[(57 * 2)..], (uint)_cylinders * _heads * _sectorsPerTrack);
        Word(data, 59, (ushort)(_multiple == 0 ? 0 : 0x100 | _multiple));
        BinaryPrimitives.WriteUInt32LittleEndian(data[(60 * 2)..], (uint)Math.Min(_sectors, 0x0FFF_FFFF));
        Word(data, 63, (ushort)(0x0007 | Selected(0x20)));
        // PIO modes 3 and 4; cycle times of 120 ns.
        Word(data, 64, 3);
        for (int word = 65; word <= 68; word++)
        {
            Word(data, word, 120);
        }

        // ATA/ATAPI-4 to 7.
        Word(data, 80, 0x00F0);
        // Write cache, look-ahead; power management.
        Word(data, 82, 0x0068);
        // FLUSH CACHE, FLUSH CACHE EXT, 48-bit addresses.
        Word(data, 83, 0x7400);
        Word(data, 84, 0x4000);
        Word(data, 85, (ushort)(_writeCache ? 0x0068 : 0x0048));
        Word(data, 86, 0x3400);
        Word(data, 87, 0x4000);
        Word(data, 88, (ushort)(0x003F | Selected(0x40)));
        // 80-conductor cable; device number by jumper.
        Word(data, 93, (ushort)(Index == 0 ? 0x6003 : 0x6300));
        BinaryPrimitives.WriteUInt64LittleEndian(data[(100 * 2)..], _sectors);
        int exponent = int.Log2(Math.Max(1, _disk.PhysicalSectorBytes / SectorBytes));
        Word(data, 106, (ushort)(0x4000 | (exponent > 0 ? 0x2000 | exponent : 0)));
        // Non-rotating.
        Word(data, 217, 1);
        IdeText.Sign(data);
    }

    // The mode bit in the high byte, when the selected transfer mode is of this family.
    private ushort Selected(byte family) =>
        (ushort)((_transferMode & 0xF8) == family ? 0x100 << (_transferMode & 7) : 0);

    private static void Word(Span<byte> data, int index, ushort value) =>
        BinaryPrimitives.WriteUInt16LittleEndian(data[(index * 2)..], value);
}
