# Hashes, arrays of arrays, and text that is cut up and put together.
use strict;
use warnings;

my $state = 1;
sub number { $state = ($state * 1103515245 + 12345) % 2147483648; return $state % $_[0]; }

my %counts;
for (1 .. 500000) {
    my $word = 'w' . number(20011);
    push @{ $counts{$word} }, number(97);
}
my @lines = map { "$_:" . join(',', @{ $counts{$_} }) } sort keys %counts;
my $text = join("\n", @lines);
my ($parts, $sum) = (0, 0);
for my $line (split /\n/, $text) {
    my (undef, $list) = split /:/, $line;
    for my $part (split /,/, $list) { $parts++; $sum += $part; }
}
(my $upper = $text) =~ s/w(\d+)/'W' . reverse($1)/ge;
print scalar(@lines), " $parts $sum ", length($upper), "\n";
