# Strings, hashes, regular expressions, sorting, calls.
use strict;
my (%count, @words);
my $seed = 42;
for (1 .. 60000) {
    $seed = ($seed * 1103515245 + 12345) & 0x7fffffff;
    push @words, sprintf("w%03d", $seed % 1000);
}
$count{$_}++ for @words;
my $text = join ' ', @words;
my $matches = () = $text =~ /w(\d)\1\d/g;
my $top = (sort { $count{$b} <=> $count{$a} || $a cmp $b } keys %count)[0];
sub fib { my $n = shift; $n < 2 ? $n : fib($n - 1) + fib($n - 2) }
print "$matches $top ", fib(19), "\n";
