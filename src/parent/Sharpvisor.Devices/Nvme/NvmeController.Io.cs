// NVM commands (NVMe 1.4, 6): flush, read, write, write zeroes, dataset management.
using System.Buffers.Binary;
using Sharpvisor.Core;

namespace Sharpvisor.Devices.Nvme;

public sealed partial class NvmeController
{
    private const uint NamespaceId = 1;
    private const uint BroadcastNamespace = uint.MaxValue;
    private const uint ForceUnitAccess = 1 << 30;
    private const int RangeBytes = 16;

    private ulong Blocks => (ulong)(_disk.Bytes / _disk.LogicalSectorBytes);

    private void ExecuteIo(NvmeRequest request)
    {
        ref NvmeCommand command = ref request.Command;
        if (command.Namespace != NamespaceId && !(command.Opcode == NvmeIo.Flush && command.Namespace == BroadcastNamespace))
        {
            Complete(request, NvmeStatus.InvalidNamespace);
            return;
        }

        switch (command.Opcode)
        {
            case NvmeIo.Flush:
                StartDisk(request, _disk.FlushAsync());
                break;
            case NvmeIo.Read or NvmeIo.Write:
                Transfer(request, isWrite: command.Opcode == NvmeIo.Write);
                break;
            case NvmeIo.WriteZeroes when Check(request, isWrite: true):
                StartDisk(request, _disk.UnmapAsync(OffsetOf(command.StartingLba), OffsetOf(command.Blocks)));
                break;
            case NvmeIo.DatasetManagement:
                ManageDataset(request);
                break;
            case NvmeIo.WriteZeroes:
                break;
            default:
                Complete(request, NvmeStatus.InvalidOpcode);
                break;
        }
    }

    private long OffsetOf(ulong blocks) => (long)blocks * _disk.LogicalSectorBytes;

    private bool IsInside(ulong lba, ulong blocks) => lba < Blocks && blocks <= Blocks - lba;

    /// <summary>Completes the request when it must not be done.</summary>
    private bool Check(NvmeRequest request, bool isWrite)
    {
        NvmeStatus status = !IsInside(request.Command.StartingLba, request.Command.Blocks) ? NvmeStatus.LbaOutOfRange
            : isWrite && _disk.IsReadOnly ? NvmeStatus.WriteProtected
            : NvmeStatus.Success;
        if (status != NvmeStatus.Success)
        {
            Complete(request, status);
        }

        return status == NvmeStatus.Success;
    }

    private void Transfer(NvmeRequest request, bool isWrite)
    {
        ref NvmeCommand command = ref request.Command;
        if (!Check(request, isWrite))
        {
            return;
        }

        long bytes = OffsetOf(command.Blocks);
        NvmeStatus status = bytes > MaxTransferBytes ? NvmeStatus.InvalidField : NvmePrp.Map(_memory, request, (int)bytes);
        if (status != NvmeStatus.Success)
        {
            Complete(request, status);
            return;
        }

        long offset = OffsetOf(command.StartingLba);
        bool force = (command.Dword12 & ForceUnitAccess) != 0;
        StartDisk(
            request,
            !isWrite ? _disk.ReadAsync(offset, request.Data)
            : force ? WriteThroughAsync(offset, request.Data)
            : _disk.WriteAsync(offset, request.Data));
    }

    private async ValueTask<DiskStatus> WriteThroughAsync(long offset, SegmentList data)
    {
        DiskStatus status = await _disk.WriteAsync(offset, data);
        return status == DiskStatus.Success ? await _disk.FlushAsync() : status;
    }

    // 6.7: 1 to 256 ranges; only "deallocate" means anything here, the other attributes are hints.
    private void ManageDataset(NvmeRequest request)
    {
        const uint Deallocate = 1 << 2;
        int count = (int)(request.Command.Dword10 & 0xFF) + 1;
        NvmeStatus status = NvmePrp.Map(_memory, request, count * RangeBytes);
        if (status != NvmeStatus.Success)
        {
            Complete(request, status);
            return;
        }

        byte[] ranges = new byte[count * RangeBytes];
        request.Data.CopyTo(ranges);
        for (int i = 0; i < count && status == NvmeStatus.Success; i++)
        {
            (ulong lba, uint blocks) = RangeAt(ranges, i);
            status = blocks == 0 || IsInside(lba, blocks) ? NvmeStatus.Success : NvmeStatus.LbaOutOfRange;
        }

        bool deallocate = (request.Command.Dword11 & Deallocate) != 0;
        if (status == NvmeStatus.Success && deallocate && _disk.IsReadOnly)
        {
            status = NvmeStatus.WriteProtected;
        }

        if (status != NvmeStatus.Success || !deallocate)
        {
            Complete(request, status);
        }
        else
        {
            StartDisk(request, DeallocateAsync(ranges, count));
        }
    }

    private async ValueTask<DiskStatus> DeallocateAsync(byte[] ranges, int count)
    {
        for (int i = 0; i < count; i++)
        {
            (ulong lba, uint blocks) = RangeAt(ranges, i);
            DiskStatus status = blocks == 0 ? DiskStatus.Success : await _disk.UnmapAsync(OffsetOf(lba), OffsetOf(blocks));
            if (status != DiskStatus.Success)
            {
                return status;
            }
        }

        return DiskStatus.Success;
    }

    // Figure 361: context attributes, length in blocks, starting LBA.
    private static (ulong Lba, uint Blocks) RangeAt(byte[] ranges, int index)
    {
        ReadOnlySpan<byte> range = ranges.AsSpan(index * RangeBytes, RangeBytes);
        return (BinaryPrimitives.ReadUInt64LittleEndian(range[8..]), BinaryPrimitives.ReadUInt32LittleEndian(range[4..]));
    }

    private void StartDisk(NvmeRequest request, ValueTask<DiskStatus> operation)
    {
        _diskOperations++;
        if (request.Await(operation))
        {
            _diskOperations--;
            FinishDisk(request);
        }
    }

    private void FinishDisk(NvmeRequest request)
    {
        byte opcode = request.Command.Opcode;
        if (opcode == NvmeIo.Read)
        {
            request.NotifyWrites(_memory);
        }

        bool succeeded = request.DiskStatus == DiskStatus.Success;
        if (succeeded && opcode is NvmeIo.Read or NvmeIo.Write)
        {
            (opcode == NvmeIo.Read ? _counters.BytesRead : _counters.BytesWritten).Add(request.Data.Bytes);
        }

        Complete(request, request.DiskStatus switch
        {
            DiskStatus.Success => NvmeStatus.Success,
            DiskStatus.OutOfRange => NvmeStatus.LbaOutOfRange,
            DiskStatus.ReadError => NvmeStatus.UnrecoveredReadError,
            DiskStatus.WriteProtected => NvmeStatus.WriteProtected,
            _ => NvmeStatus.WriteFault,
        });
    }
}
