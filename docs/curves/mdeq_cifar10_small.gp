set terminal svg size 960,300 font 'sans,11' background 'white'
set output 'mdeq_cifar10_small.svg'
set grid linecolor '#dddddd'
set border 3
set tics nomirror
set key noenhanced
set multiplot layout 1,2
set xlabel 'step' noenhanced
unset logscale y
set format y '%g'
set ylabel 'test loss' noenhanced
plot 'mdeq_cifar10_small.dat' index 0 with lines linewidth 1.5 linecolor '#0072B2' dashtype 1 title 'A cifar', 'mdeq_cifar10_small.dat' index 1 with lines linewidth 1.5 linecolor '#D55E00' dashtype 2 title 'B cifar_explicit'
unset logscale y
set format y '%g'
set ylabel 'train loss' noenhanced
plot 'mdeq_cifar10_small.dat' index 2 with lines linewidth 1.5 linecolor '#0072B2' dashtype 1 title 'A cifar', 'mdeq_cifar10_small.dat' index 3 with lines linewidth 1.5 linecolor '#D55E00' dashtype 2 title 'B cifar_explicit'
unset multiplot
