// Medium access of a disk: SBC-3 5. Ranges are checked against the disk before any work; lengths against the data buffer.
using System.Buffers;
using System.Buffers.Binary;
using System.Runtime.CompilerServices;
using Sharpvisor.Core;

namespace Sharpvisor.Storage.Scsi;

public sealed partial class ScsiDisk
{
    private const byte ForceUnitAccess = 0x08;
    private const int UnmapHeaderBytes = 8;
    private const int UnmapDescriptorBytes = 16;
    private const int PatternBytes = 64 * 1024;

    private ValueTask Read(ScsiRequest request)
    {
        if (!TryPrepare(request, ScsiDirection.In, out long offset, out long bytes))
        {
            return ValueTask.CompletedTask;
        }

        ValueTask<DiskStatus> read = _disk.ReadAsync(offset, request.Data);
        if (!read.IsCompletedSuccessfully)
        {
            return FinishAsync(request, read, bytes);
        }

        CommonCommands.Finish(request, read.Result, bytes);
        return ValueTask.CompletedTask;
    }

    private ValueTask Write(ScsiRequest request)
    {
        if (_disk.IsReadOnly)
        {
            request.Fail(SenseKey.DataProtect, Asc.WriteProtected);
            return ValueTask.CompletedTask;
        }

        if (!TryPrepare(request, ScsiDirection.Out, out long offset, out long bytes))
        {
            return ValueTask.CompletedTask;
        }

        // SBC-3 5.29: FUA, which WRITE (6) does not have; WRITE AND VERIFY goes to the medium by definition.
        byte opcode = request.Cdb[0];
        bool isVerified = opcode is Opcode.WriteAndVerify10 or Opcode.WriteAndVerify12 or Opcode.WriteAndVerify16;
        bool force = !_writeCache || isVerified || (opcode != Opcode.Write6 && (request.Cdb[1] & ForceUnitAccess) != 0);
        return force
            ? WriteThroughAsync(request, offset, bytes)
            : FinishAsync(request, _disk.WriteAsync(offset, request.Data), bytes);
    }

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder))]
    private static async ValueTask FinishAsync(ScsiRequest request, ValueTask<DiskStatus> operation, long bytes) =>
        CommonCommands.Finish(request, await operation.ConfigureAwait(false), bytes);

    [AsyncMethodBuilder(typeof(PoolingAsyncValueTaskMethodBuilder))]
    private async ValueTask WriteThroughAsync(ScsiRequest request, long offset, long bytes)
    {
        DiskStatus status = await _disk.WriteAsync(offset, request.Data).ConfigureAwait(false);
        if (status == DiskStatus.Success)
        {
            status = await _disk.FlushAsync().ConfigureAwait(false);
        }

        CommonCommands.Finish(request, status, bytes);
    }

    // SBC-3 5.22, BYTCHK: 00b medium only, 01b each block against the initiator's; one block against many (11b) is not offered.
    private ValueTask Verify(ScsiRequest request)
    {
        int check = (request.Cdb[1] >> 1) & 3;
        BlockRange range = BlockRange.Of(request.Cdb);
        long bytes = (long)range.Blocks * _sectorBytes;
        if (check > 1 || (check == 1 && bytes > request.Data.Bytes))
        {
            CommonCommands.InvalidField(request);
        }
        else if (!range.IsInside(_blocks))
        {
            request.Fail(SenseKey.IllegalRequest, Asc.LbaOutOfRange);
        }
        else if (check == 1)
        {
            request.Data.Truncate(bytes);
            return CompareAsync(request, (long)range.Lba * _sectorBytes);
        }
        else
        {
            request.Succeed();
        }

        return ValueTask.CompletedTask;
    }

    private async ValueTask CompareAsync(ScsiRequest request, long offset)
    {
        request.Begin(ScsiDirection.Out);
        byte[] medium = ArrayPool<byte>.Shared.Rent(PatternBytes);
        try
        {
            var buffers = new Memory<byte>[1];
            for (int i = 0; i < request.Data.Count; i++)
            {
                Memory<byte> segment = request.Data[i];
                while (segment.Length > 0)
                {
                    buffers[0] = medium.AsMemory(0, Math.Min(segment.Length, PatternBytes));
                    DiskStatus status = await _disk.ReadAsync(offset, buffers).ConfigureAwait(false);
                    if (status != DiskStatus.Success)
                    {
                        CommonCommands.Finish(request, status, 0);
                        return;
                    }

                    if (!buffers[0].Span.SequenceEqual(segment.Span[..buffers[0].Length]))
                    {
                        request.Fail(SenseKey.Miscompare, Asc.MiscompareDuringVerify);
                        return;
                    }

                    offset += buffers[0].Length;
                    segment = segment[buffers[0].Length..];
                }
            }

            request.Succeed((int)request.Data.Bytes);
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(medium);
        }
    }

    private ValueTask SynchronizeCache(ScsiRequest request)
    {
        if (!BlockRange.Of(request.Cdb).IsInside(_blocks))
        {
            request.Fail(SenseKey.IllegalRequest, Asc.LbaOutOfRange);
            return ValueTask.CompletedTask;
        }

        return FinishAsync(request, _disk.FlushAsync(), 0);
    }

    // SBC-3 5.28.
    private ValueTask Unmap(ScsiRequest request)
    {
        int length = BinaryPrimitives.ReadUInt16BigEndian(request.Cdb[7..]);
        if ((request.Cdb[1] & 1) != 0)
        {
            CommonCommands.InvalidField(request);
            return ValueTask.CompletedTask;
        }

        if (_disk.IsReadOnly)
        {
            request.Fail(SenseKey.DataProtect, Asc.WriteProtected);
            return ValueTask.CompletedTask;
        }

        if (length == 0)
        {
            request.Succeed();
            return ValueTask.CompletedTask;
        }

        return UnmapAsync(request, length);
    }

    private async ValueTask UnmapAsync(ScsiRequest request, int length)
    {
        request.Begin(ScsiDirection.Out);
        byte[] list = ArrayPool<byte>.Shared.Rent(length);
        try
        {
            // The list is copied before it is looked at: the guest can change its own memory meanwhile.
            int had = request.Data.CopyTo(list.AsSpan(0, length));
            int descriptors = had < UnmapHeaderBytes ? 0 : BinaryPrimitives.ReadUInt16BigEndian(list.AsSpan(2)) / UnmapDescriptorBytes;
            if (had < UnmapHeaderBytes || UnmapHeaderBytes + (descriptors * UnmapDescriptorBytes) > had)
            {
                request.Fail(SenseKey.IllegalRequest, Asc.ParameterListLengthError);
                return;
            }

            if (descriptors > MaxUnmapDescriptors)
            {
                request.Fail(SenseKey.IllegalRequest, Asc.InvalidFieldInParameterList);
                return;
            }

            DiskStatus status = CheckDescriptors(list, descriptors);
            for (int i = 0; i < descriptors && status == DiskStatus.Success; i++)
            {
                BlockRange range = Descriptor(list, i);
                status = await _disk.UnmapAsync((long)range.Lba * _sectorBytes, (long)range.Blocks * _sectorBytes).ConfigureAwait(false);
            }

            CommonCommands.Finish(request, status, had);
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(list);
        }
    }

    private DiskStatus CheckDescriptors(byte[] list, int descriptors)
    {
        for (int i = 0; i < descriptors; i++)
        {
            if (!Descriptor(list, i).IsInside(_blocks))
            {
                return DiskStatus.OutOfRange;
            }
        }

        return DiskStatus.Success;
    }

    private static BlockRange Descriptor(byte[] list, int index)
    {
        ReadOnlySpan<byte> descriptor = list.AsSpan(UnmapHeaderBytes + (index * UnmapDescriptorBytes), UnmapDescriptorBytes);
        return new BlockRange(
            BinaryPrimitives.ReadUInt64BigEndian(descriptor), BinaryPrimitives.ReadUInt32BigEndian(descriptor[8..]));
    }

    // SBC-3 5.42, 5.43.
    private ValueTask WriteSame(ScsiRequest request)
    {
        byte flags = request.Cdb[1];
        BlockRange range = BlockRange.Of(request.Cdb);
        bool hasNoData = request.Cdb[0] == Opcode.WriteSame16 && (flags & 0x01) != 0;
        // WRPROTECT and ANCHOR are not offered; 0 blocks is refused by WSNZ in the block limits page.
        if ((flags & 0xF0) != 0 || range.Blocks == 0 || (long)range.Blocks * _sectorBytes > MaxWriteSameBytes)
        {
            CommonCommands.InvalidField(request);
        }
        else if (_disk.IsReadOnly)
        {
            request.Fail(SenseKey.DataProtect, Asc.WriteProtected);
        }
        else if (!range.IsInside(_blocks))
        {
            request.Fail(SenseKey.IllegalRequest, Asc.LbaOutOfRange);
        }
        else if (!hasNoData && request.Data.Bytes < _sectorBytes)
        {
            CommonCommands.InvalidField(request);
        }
        else
        {
            return WriteSameAsync(request, range, hasNoData, canUnmap: (flags & 0x08) != 0);
        }

        return ValueTask.CompletedTask;
    }

    private async ValueTask WriteSameAsync(ScsiRequest request, BlockRange range, bool hasNoData, bool canUnmap)
    {
        request.Begin(ScsiDirection.Out);
        byte[] pattern = ArrayPool<byte>.Shared.Rent(PatternBytes);
        try
        {
            Span<byte> block = pattern.AsSpan(0, _sectorBytes);
            block.Clear();
            int had = hasNoData ? 0 : request.Data.CopyTo(block);
            long offset = (long)range.Lba * _sectorBytes;
            long bytes = (long)range.Blocks * _sectorBytes;
            DiskStatus status;
            // Unmapped blocks read as zeros (LBPRZ), so unmapping may stand for writing only zeros.
            if (canUnmap && !block.ContainsAnyExcept((byte)0))
            {
                status = await _disk.UnmapAsync(offset, bytes).ConfigureAwait(false);
            }
            else
            {
                status = await WritePatternAsync(pattern, offset, bytes).ConfigureAwait(false);
            }

            CommonCommands.Finish(request, status, had);
        }
        finally
        {
            ArrayPool<byte>.Shared.Return(pattern);
        }
    }

    private async ValueTask<DiskStatus> WritePatternAsync(byte[] pattern, long offset, long bytes)
    {
        for (int filled = _sectorBytes; filled < PatternBytes; filled += _sectorBytes)
        {
            pattern.AsSpan(0, _sectorBytes).CopyTo(pattern.AsSpan(filled));
        }

        var buffers = new ReadOnlyMemory<byte>[1];
        for (long done = 0; done < bytes; done += PatternBytes)
        {
            buffers[0] = pattern.AsMemory(0, (int)Math.Min(PatternBytes, bytes - done));
            DiskStatus status = await _disk.WriteAsync(offset + done, buffers).ConfigureAwait(false);
            if (status != DiskStatus.Success)
            {
                return status;
            }
        }

        return _writeCache ? DiskStatus.Success : await _disk.FlushAsync().ConfigureAwait(false);
    }

    private bool TryPrepare(ScsiRequest request, ScsiDirection direction, out long offset, out long bytes)
    {
        BlockRange range = BlockRange.Of(request.Cdb);
        offset = 0;
        bytes = 0;
        // RDPROTECT/WRPROTECT: no protection information. In READ (6) and WRITE (6) these bits are reserved.
        bool isSix = request.Cdb[0] is Opcode.Read6 or Opcode.Write6;
        if (!isSix && (request.Cdb[1] & 0xE0) != 0)
        {
            CommonCommands.InvalidField(request);
            return false;
        }

        if (!range.IsInside(_blocks))
        {
            request.Fail(SenseKey.IllegalRequest, Asc.LbaOutOfRange);
            return false;
        }

        offset = (long)range.Lba * _sectorBytes;
        bytes = (long)range.Blocks * _sectorBytes;
        if (bytes > request.Data.Bytes)
        {
            // The initiator's buffer cannot take what it asks for.
            CommonCommands.InvalidField(request);
            return false;
        }

        request.Begin(direction);
        request.Data.Truncate(bytes);
        return true;
    }
}
